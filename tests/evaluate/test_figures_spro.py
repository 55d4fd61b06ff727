"""AU-sPRO: measured at the pictures' own size, for each kind of anomaly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from understudy import Inspector
from understudy.data.published import read_saturations
from understudy.evaluate import evaluate, pixels
from understudy.evaluate.figures import SPRO_LIMITS, SproFigures
from understudy.evaluate.marks import read_defects
from understudy.metrics import Channel, au_spro, by_channel
from understudy.progress import Reporter
from understudy.runtime.images import resize_map


def test_au_spro_is_measured_at_the_pictures_own_size_for_each_kind(
    inspector: Inspector, wide_kit: Path
) -> None:
    result = evaluate(inspector, wide_kit, categories=["kit"])
    found = result.metrics["categories"]["kit"]["au_spro"]
    assert list(found) == [f"{limit:g}" for limit in SPRO_LIMITS]
    saturations = read_saturations(wide_kit)
    for kind in ("logical", "structural"):
        records = [t.record for t in result.tested if t.record.defect in ("good", f"{kind}_anomalies")]
        scored = inspector.scorer.score([r.path for r in records])
        maps = [resize_map(s.anomaly_map, (64, 96)) for s in scored]  # type: ignore[union-attr]
        defects: list[list[Channel]] = [read_defects(r, (64, 96), saturations) or [] for r in records]
        for limit in SPRO_LIMITS:
            assert found[f"{limit:g}"][kind] == pytest.approx(au_spro(maps, defects, limit), abs=1e-6)
    for own in found.values():
        assert own["mean"] == pytest.approx((own["logical"] + own["structural"]) / 2)
    assert result.metrics["mean_au_spro"] == found


def test_au_spro_of_more_pixels_than_can_be_kept_states_its_largest_error(
    inspector: Inspector, wide_kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = evaluate(inspector, wide_kit, categories=["kit"]).metrics
    assert exact["categories"]["kit"]["au_spro_max_error"] is None
    assert exact["spro_mode"] == {"form": "exact", "pixels": 19 * 96 * 64, "bins": None}
    monkeypatch.setattr(pixels, "EXACT_PIXELS", 19 * 96 * 64 - 1)  # maps of 64 x 64 still fit
    said: list[str] = []
    metrics = evaluate(inspector, wide_kit, categories=["kit"], progress=Reporter(say=said.append)).metrics
    assert any("pixel metrics: exact" in line for line in said)
    assert any("AU-sPRO: 0.1 million pixels, too many to keep for 1 of 1 categories" in line for line in said)
    assert metrics["spro_mode"]["form"] == "histogram"
    assert metrics["pixel_mode"] == exact["pixel_mode"]
    errors = metrics["categories"]["kit"]["au_spro_max_error"]
    for limit, own in metrics["categories"]["kit"]["au_spro"].items():
        for kind in ("logical", "structural"):
            true = exact["categories"]["kit"]["au_spro"][limit][kind]
            assert abs(own[kind] - true) <= errors[limit][kind] + 1e-6


def test_a_broken_first_picture_does_not_hide_how_many_pixels_follow(
    inspector: Inspector, wide_kit: Path
) -> None:
    (wide_kit / "test" / "good" / "000.png").write_bytes(b"broken")
    metrics = evaluate(inspector, wide_kit, categories=["kit"]).metrics
    assert metrics["spro_mode"]["pixels"] == 18 * 96 * 64


def test_a_kind_whose_pictures_are_all_unreadable_has_no_au_spro(
    inspector: Inspector, wide_kit: Path
) -> None:
    for path in (wide_kit / "test" / "logical_anomalies").iterdir():
        path.write_bytes(b"broken")
    found = evaluate(inspector, wide_kit, categories=["kit"]).metrics["categories"]["kit"]["au_spro"]["0.05"]
    assert found["logical"] is found["mean"] is None
    assert found["structural"] is not None


def test_without_an_explanation_of_the_masks_there_is_no_au_spro(
    inspector: Inspector, wide_kit: Path
) -> None:
    (wide_kit / "defects_config.json").unlink()
    figures = evaluate(inspector, wide_kit, categories=["kit"]).metrics["categories"]["kit"]
    assert figures["au_spro"] is None
    assert figures["aupro"] is not None


def test_the_mean_of_a_limit_is_told_where_logical_and_structural_anomalies_are_both_known() -> None:
    figures = SproFigures(exact=True)
    mask = np.array([[True, False, False]])
    good = by_channel(np.array([[0.1, 0.1, 0.2]], np.float32), [])
    found = by_channel(np.array([[0.9, 0.1, 0.1]], np.float32), [Channel(mask, 1)])
    missed = by_channel(np.array([[0.0, 0.1, 0.1]], np.float32), [Channel(mask, 1)])
    figures.add("good", good)
    figures.add("logical_anomalies", found)
    own = figures.numbers()["au_spro"]["0.05"]
    assert own == {"logical": 1, "structural": None, "mean": None}
    figures.add("structural_anomalies", missed)
    numbers = figures.numbers()
    assert numbers["au_spro"]["0.05"] == {"logical": 1, "structural": 0, "mean": 0.5}
    assert numbers["au_spro_max_error"] is None
