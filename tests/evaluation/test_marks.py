"""Masks of several defects: saturation, overlap, and what is wrong with a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import InputError, PictureError, Model, evaluate
from understudy.lab.factory import LogicalPlan, write_logical
from understudy.data.layouts import open_pictures
from understudy.data.published import read_saturations
from understudy.data.records import Record
from understudy.evaluate import room
from understudy.evaluate.figures import SPRO_LIMITS
from understudy.evaluate.marks import read_defects, read_masks
from understudy.metrics import Channel, au_spro
from understudy.progress import Reporter
from understudy.runtime.images import resize_map


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """One category in LOCO layout, its pictures 96 x 64."""
    write_logical(tmp_path, LogicalPlan(train=1, validation=0, good=3, each_defect=2, size=64))
    for path in tmp_path.glob("kit/*/**/*.png"):
        Image.open(path).resize((96, 64), Image.Resampling.NEAREST).save(path)
    return tmp_path / "kit"


def first_logical(kit: Path) -> Record:
    return next(r for r in open_pictures(kit).test() if r.defect == "logical_anomalies")


def test_several_masks_of_a_picture_are_taken_together(kit: Path) -> None:
    several = [r for r in open_pictures(kit).test() if len(r.masks) > 1]
    assert several
    for record in several:
        one_by_one = [np.array(Image.open(path)) > 0 for path in record.masks]
        assert (read_masks(record, (64, 96)) == np.logical_or.reduce(one_by_one)).all()


def test_good_pictures_have_no_defects_and_unmarked_ones_unknown_ones(kit: Path) -> None:
    records = open_pictures(kit).test()
    assert read_defects(next(r for r in records if r.is_good), (64, 96)) == []
    unmarked = Record("kit", "test", "logical_anomalies", kit / "any.png")
    assert read_defects(unmarked, (64, 96)) is None


def test_a_defect_saturates_as_its_value_says(kit: Path) -> None:
    record, saturations = first_logical(kit), read_saturations(kit)
    for path, defect in zip(record.masks, read_defects(record, (64, 96), saturations) or [], strict=True):
        value = int(np.asarray(Image.open(path)).max())
        assert defect.saturation == saturations[value].pixels(int(defect.mask.sum()))
    for defect in read_defects(record, (64, 96)) or []:
        assert defect.saturation == defect.mask.sum()


def test_au_spro_is_measured_at_the_pictures_own_size_for_each_kind(model: Model, kit: Path) -> None:
    result = evaluate(model, kit, ["kit"])
    found = result.metrics["categories"]["kit"]["au_spro"]
    assert list(found) == [f"{limit:g}" for limit in SPRO_LIMITS]
    saturations = read_saturations(kit)
    for kind in ("logical", "structural"):
        records = [t.record for t in result.tested if t.record.defect in ("good", f"{kind}_anomalies")]
        maps = [resize_map(s.anomaly_map, (64, 96)) for s in model.score([r.path for r in records])]  # type: ignore[union-attr]
        defects: list[list[Channel]] = [read_defects(r, (64, 96), saturations) or [] for r in records]
        for limit in SPRO_LIMITS:
            assert found[f"{limit:g}"][kind] == pytest.approx(au_spro(maps, defects, limit), abs=1e-6)
    for own in found.values():
        assert own["mean"] == pytest.approx((own["logical"] + own["structural"]) / 2)
    assert result.metrics["mean_au_spro"] == found


def test_au_spro_of_more_pixels_than_can_be_kept_states_its_largest_error(
    model: Model, kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = evaluate(model, kit, ["kit"]).metrics
    assert exact["categories"]["kit"]["au_spro_max_error"] is None
    assert exact["spro_mode"] == {"form": "exact", "pixels": 19 * 96 * 64, "bins": None}
    monkeypatch.setattr(room, "EXACT_PIXELS", 19 * 96 * 64 - 1)  # maps of 64 x 64 still fit
    said: list[str] = []
    metrics = evaluate(model, kit, ["kit"], reporter=Reporter(say=said.append)).metrics
    assert "pixel metrics: exact" in said[1]
    assert "AU-sPRO: 0.1 million pixels, too many to keep for 1 of 1 categories" in said[2]
    assert metrics["spro_mode"]["form"] == "histogram"
    assert metrics["pixel_mode"] == exact["pixel_mode"]
    errors = metrics["categories"]["kit"]["au_spro_max_error"]
    for limit, own in metrics["categories"]["kit"]["au_spro"].items():
        for kind in ("logical", "structural"):
            true = exact["categories"]["kit"]["au_spro"][limit][kind]
            assert abs(own[kind] - true) <= errors[limit][kind] + 1e-6


def test_a_broken_first_picture_does_not_hide_how_many_pixels_follow(model: Model, kit: Path) -> None:
    (kit / "test" / "good" / "000.png").write_bytes(b"broken")
    metrics = evaluate(model, kit, ["kit"]).metrics
    assert metrics["spro_mode"]["pixels"] == 18 * 96 * 64


def test_a_kind_whose_pictures_are_all_unreadable_has_no_au_spro(model: Model, kit: Path) -> None:
    for path in (kit / "test" / "logical_anomalies").iterdir():
        path.write_bytes(b"broken")
    found = evaluate(model, kit, ["kit"]).metrics["categories"]["kit"]["au_spro"]["0.05"]
    assert found["logical"] is found["mean"] is None
    assert found["structural"] is not None


def test_without_an_explanation_of_the_masks_there_is_no_au_spro(model: Model, kit: Path) -> None:
    (kit / "defects_config.json").unlink()
    figures = evaluate(model, kit, ["kit"]).metrics["categories"]["kit"]
    assert figures["au_spro"] is None
    assert figures["aupro"] is not None


def test_a_mask_that_marks_nothing_is_left_out_by_name(model: Model, kit: Path) -> None:
    empty = kit / "ground_truth" / "logical_anomalies" / "000" / "000.png"
    Image.new("L", (96, 64)).save(empty)
    result = evaluate(model, kit, ["kit"])
    assert [e.path for e in result.broken] == [empty]
    assert "is a mask that marks nothing" in str(result.broken[0])


def test_transparency_is_no_value_of_a_mask(kit: Path) -> None:
    record, saturations = first_logical(kit), read_saturations(kit)
    before = read_defects(record, (64, 96), saturations)
    for path in record.masks:
        Image.open(path).convert("RGBA").save(path)
    after = read_defects(record, (64, 96), saturations)
    assert before is not None
    assert after is not None
    assert [d.saturation for d in after] == [d.saturation for d in before]


def test_a_mask_of_two_values_or_of_an_unknown_one_is_left_out_by_name(
    model: Model, kit: Path
) -> None:
    folder = kit / "ground_truth" / "logical_anomalies"
    values = np.zeros((64, 96), np.uint8)
    values[5:9, 5:9] = 1
    Image.fromarray(values).save(folder / "000" / "000.png")
    values[20:30, 20:30] = 254
    Image.fromarray(values).save(folder / "001" / "000.png")
    result = evaluate(model, kit, ["kit"])
    assert [str(e).removeprefix(str(folder)) for e in result.broken] == [
        "/000/000.png is a mask of value 1, which defects_config.json does not explain; add it there",
        "/001/000.png is a mask with the values 1, 254; give every defect a mask of its own",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be read"),
        ("{}", "is no list of defects"),
        ('[{"defect_name": "a", "pixel_value": 0}]', "is no list of defects: 0.pixel_value"),
        (
            '[{"defect_name": "a", "pixel_value": 9, "saturation_threshold": 1e999, '
            '"relative_saturation": false}]',
            "is no list of defects: 0.saturation_threshold",
        ),
    ],
)
def test_a_broken_explanation_of_masks_is_named(kit: Path, text: str, reason: str) -> None:
    (kit / "defects_config.json").write_text(text)
    with pytest.raises(InputError, match=rf"defects_config\.json {reason}"):
        open_pictures(kit)


def test_two_defects_of_one_value_are_refused(kit: Path) -> None:
    path = kit / "defects_config.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([entries[0], entries[0]]))
    with pytest.raises(InputError, match="gives one pixel_value to two defects"):
        open_pictures(kit)


def test_a_mask_of_another_size_than_its_picture_is_refused(kit: Path) -> None:
    record = first_logical(kit)
    with pytest.raises(PictureError, match="is a mask of 96x64, its picture is 10x10"):
        read_defects(record, (10, 10))
    shutil.rmtree(record.masks[0].parent)
    with pytest.raises(PictureError, match="cannot be read"):
        read_defects(record, (64, 96))
