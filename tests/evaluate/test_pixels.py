"""Pixels are kept one by one while memory has room, and counted in bins from there on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import Inspector
from understudy.data.records import Record
from understudy.evaluate import evaluate, pixels
from understudy.evaluate.figures import PIXEL_NAMES
from understudy.evaluate.pixels import PixelBudget, PixelsByKind, count_pixels
from understudy.metrics import BINS, by_region
from understudy.progress import Reporter


def test_more_pixels_than_memory_has_room_for_are_counted_in_bins_within_the_stated_error(
    inspector: Inspector, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = evaluate(inspector, factory).metrics
    monkeypatch.setattr(pixels, "EXACT_PIXELS", 6 * 64 * 64)  # a category fits, all four do not
    said: list[str] = []
    mixed = evaluate(inspector, factory, progress=Reporter(say=said.append)).metrics
    assert mixed["categories"] == exact["categories"]
    assert mixed["pixel_mode"]["form"] == "histogram"
    assert any("too many to keep for all together: counted there in 262144 bins" in line for line in said)
    monkeypatch.setattr(pixels, "EXACT_PIXELS", 0)
    binned = evaluate(inspector, factory).metrics
    for ours, true in [
        (mixed["pooled"], exact["pooled"]),
        *zip(binned["categories"].values(), exact["categories"].values(), strict=True),
    ]:
        assert list(ours["max_error"]) == list(PIXEL_NAMES)
        for name, bound in ours["max_error"].items():
            assert abs(ours[name] - true[name]) <= bound + 1e-6
            assert bound < 0.05
        assert ours["image_auroc"] == true["image_auroc"]


def test_pixels_are_counted_by_the_sizes_of_the_maps_that_they_will_have(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    records = [Record(c, "test", "good", tmp_path / n) for c, n in (("nut", "a.png"), ("bolt", "broken.png"))]
    assert count_pixels(records, None).pixels == {"nut": 600, "bolt": 0}
    assert count_pixels(records, lambda size: (size[0] // 2, 10)).pixels == {"nut": 100, "bolt": 0}


def test_what_memory_has_no_room_for_is_named_by_how_much_of_it_is_in_bins() -> None:
    budget = PixelBudget({"bolt": 30, "nut": 80}, most=100)
    assert (budget.is_exact("bolt"), budget.is_exact("nut"), budget.is_exact()) == (True, True, False)
    assert budget.mode(pooled=True) == {"form": "histogram", "pixels": 110, "bins": BINS}
    assert budget.mode(pooled=False) == {"form": "exact", "pixels": 110, "bins": None}
    assert budget.statement("AU-sPRO", pooled=False) == "AU-sPRO: exact, 0.0 million pixels"
    assert "too many to keep for all together:" in budget.statement("pixel metrics", pooled=True)
    less = PixelBudget({"bolt": 30, "nut": 80}, most=50)
    assert (less.is_exact("bolt"), less.is_exact("nut")) == (True, False)
    assert "for 1 of 2 categories and all together:" in less.statement("pixel metrics", pooled=True)


@pytest.mark.parametrize("exact", [True, False])
def test_a_kinds_ranking_joins_its_own_pixels_and_those_of_good_pictures(exact: bool) -> None:
    maps = {"good": [[0.1, 0.2]], "chip": [[0.9, 0.3]], "rust": [[0.05, 0.4]]}
    mask = np.array([[True, False]])
    pixels_by_kind = PixelsByKind(exact)
    assert pixels_by_kind.ranking() is None
    for kind, values in maps.items():
        marked = np.zeros_like(mask) if kind == "good" else mask
        pixels_by_kind.add(kind, by_region(np.array(values, np.float32), marked))
    assert pixels_by_kind.kinds == ["chip", "rust"]
    rankings = [pixels_by_kind.ranking(kind) for kind in ("chip", "rust", None)]
    assert [r and (r.n_defect, r.n_good) for r in rankings] == [(1, 3), (1, 3), (2, 4)]
    assert [r and r.auroc() for r in rankings] == pytest.approx([1, 0, 0.5])
    assert pixels_by_kind.ranking("dent") is None
    assert rankings[0] is not None
    assert (pixels_by_kind.error(rankings[0], 0.3) is None) == exact
