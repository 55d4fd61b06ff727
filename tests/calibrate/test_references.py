"""Figures of good pictures stay with the calibration, so that a line can be compared with them."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from understudy import Calibration, Model, load
from understudy.calibrate import job
from understudy.calibrate.job import unseen_pictures
from understudy.calibrate.learn import Learned
from understudy.calibrate.references import with_references
from understudy.calibrate.thresholds import HeldOut, keep_others
from understudy.data.layouts import open_pictures
from understudy.runtime.decision import Limits, Reference, Thresholds, distances_to
from understudy.runtime.images import Picture, read_picture
from understudy.runtime.light import brightness, sharpness
from understudy.types import Basis

LIMITS = Limits(rate=0.1, overall=1.0, categories={})
BARE = Calibration(
    thresholds=Thresholds(
        fail_above=2.0, review_above=1.0, false_alarm_rate=0.01, review_rate=0.05, n_good=99
    ),
    categories={},
    masks=LIMITS,
    min_area=1,
    distances=LIMITS,
    promise="",
)


def test_scores_and_distances_are_of_unseen_pictures_and_light_of_all() -> None:
    unseen = [
        HeldOut("nut", 2.0, 0.2, 0.0, 0.5, -3.0),
        HeldOut("nut", 1.0, 0.1, 0.0, 0.4, -2.0),
        HeldOut(None, 9.0, 9.0, 0.0, 9.0, 9.0),
    ]
    learned = Learned(np.array([7.0]), np.zeros(1), np.array([7.0]), 1.0, np.array([0.45]), np.array([-4.0]))
    made = with_references(BARE, unseen, {"nut": learned, "bolt": learned}).references
    assert made == {
        "bolt": Reference(brightness=(0.45,), sharpness=(-4.0,)),
        "nut": Reference(
            score=(1.0, 2.0), distance=(0.1, 0.2), brightness=(0.4, 0.45, 0.5), sharpness=(-4.0, -3.0, -2.0)
        ),
    }


def test_figures_that_are_no_number_are_left_out() -> None:
    made = with_references(BARE, [HeldOut("nut", 1.0, 0.1, 0.0, math.nan, math.nan)])
    assert made.references == {"nut": Reference(score=(1.0,), distance=(0.1,))}


def test_a_calibration_without_references_is_written_as_before() -> None:
    assert "references" not in BARE.model_dump(mode="json")
    assert Calibration.model_validate(BARE.model_dump(mode="json")) == BARE
    full = with_references(BARE, [HeldOut("nut", 1.0, 0.1, 0.0, 0.5, -3.0)])
    assert Calibration.model_validate_json(full.model_dump_json()) == full


def test_a_product_that_a_new_calibration_does_not_show_keeps_its_reference() -> None:
    old = with_references(BARE, [HeldOut(c, 1.0, 0.1, 0.0, 0.5, -3.0) for c in ("nut", "bolt")])
    new = with_references(
        BARE.model_copy(update={"scores": {"nut": (2.0,)}}), [HeldOut("nut", 2.0, 0.2, 0.0, 0.6, -2.0)]
    )
    both = keep_others(new, old, ["bolt", "nut", "pin"]).references
    assert both == {"nut": new.references["nut"], "bolt": old.references["bolt"]}


@pytest.mark.parametrize("basis", ["promised", "estimated"])
def test_calibrating_keeps_the_figures_of_the_pictures_that_it_scored(
    basis: Basis, model_folder: Path, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "FEWEST", 4)
    model = Model.load(shutil.copytree(model_folder, tmp_path / "m"), "cpu")
    for product in model.categories:  # eight each, of which the training has seen four
        for path in (factory / product).glob("t*/good/*"):
            (tmp_path / "good" / product).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "good" / product / f"{path.parts[-3]}-{path.name}")
    made = model.calibrate(tmp_path / "good", false_alarm_rate=0.2, basis=basis, progress=False)
    assert made == load(model.inspector.folder).calibration
    held_out = unseen_pictures(model.inspector.seen, open_pictures(tmp_path / "good").train())
    for product in model.categories:
        own = [r.path for r in held_out if r.category == product]
        scored = list(model.inspector.scorer.score(own, categories=[product] * len(own)))
        away = [distances_to(s.embedding, model.inspector.scorer.prototypes)[product] for s in scored]
        kept = made.references[product]
        assert kept.score == pytest.approx(sorted(s.score for s in scored), rel=1e-5)
        assert kept.distance == pytest.approx(sorted(away), rel=1e-5)
        assert kept.brightness == pytest.approx(
            sorted(brightness(looked_at(p, model)) for p in own), rel=1e-5
        )
        assert kept.sharpness == pytest.approx(sorted(sharpness(looked_at(p, model)) for p in own), rel=1e-5)


def looked_at(path: Path, model: Model) -> Picture:
    """The canvas of a picture."""
    return model.inspector.scorer.preprocess.resize(read_picture(path))


def test_a_fresh_model_keeps_scores_of_held_out_pictures_and_the_light_of_all(model: Model) -> None:
    assert model.calibration is not None
    for kept in model.calibration.references.values():
        sizes = [len(x) for x in (kept.score, kept.distance, kept.brightness, kept.sharpness)]
        assert sizes == [2, 2, 6, 6]
