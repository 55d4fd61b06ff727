"""Masks of several defects: saturation, overlap, and what is wrong with a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import InputError, Inspector, PictureError
from understudy.data.layouts import open_pictures
from understudy.data.published import read_saturations
from understudy.data.records import Record
from understudy.evaluate import evaluate
from understudy.evaluate.marks import ThresholdChoice, read_defects, read_masks
from understudy.runtime.decision import Thresholds


def first_logical(wide_kit: Path) -> Record:
    return next(r for r in open_pictures(wide_kit).test() if r.defect == "logical_anomalies")


def test_several_masks_of_a_picture_are_taken_together(wide_kit: Path) -> None:
    several = [r for r in open_pictures(wide_kit).test() if len(r.masks) > 1]
    assert several
    for record in several:
        one_by_one = [np.array(Image.open(path)) > 0 for path in record.masks]
        assert (read_masks(record, (64, 96)) == np.logical_or.reduce(one_by_one)).all()


def test_good_pictures_have_no_defects_and_unmarked_ones_unknown_ones(wide_kit: Path) -> None:
    records = open_pictures(wide_kit).test()
    assert read_defects(next(r for r in records if r.is_good), (64, 96)) == []
    unmarked = Record("kit", "test", "logical_anomalies", wide_kit / "any.png")
    assert read_defects(unmarked, (64, 96)) is None


def test_a_defect_saturates_as_its_value_says(wide_kit: Path) -> None:
    record, saturations = first_logical(wide_kit), read_saturations(wide_kit)
    for path, defect in zip(record.masks, read_defects(record, (64, 96), saturations) or [], strict=True):
        value = int(np.asarray(Image.open(path)).max())
        assert defect.saturation == saturations[value].pixels(int(defect.mask.sum()))
    for defect in read_defects(record, (64, 96)) or []:
        assert defect.saturation == defect.mask.sum()


def test_a_mask_that_marks_nothing_is_left_out_by_name(inspector: Inspector, wide_kit: Path) -> None:
    empty = wide_kit / "ground_truth" / "logical_anomalies" / "000" / "000.png"
    Image.new("L", (96, 64)).save(empty)
    result = evaluate(inspector, wide_kit, categories=["kit"])
    assert [e.path for e in result.broken] == [empty]
    assert "is a mask that marks nothing" in str(result.broken[0])


def test_transparency_is_no_value_of_a_mask(wide_kit: Path) -> None:
    record, saturations = first_logical(wide_kit), read_saturations(wide_kit)
    before = read_defects(record, (64, 96), saturations)
    for path in record.masks:
        Image.open(path).convert("RGBA").save(path)
    after = read_defects(record, (64, 96), saturations)
    assert before is not None
    assert after is not None
    assert [d.saturation for d in after] == [d.saturation for d in before]


def test_a_mask_of_two_values_or_of_an_unknown_one_is_left_out_by_name(
    inspector: Inspector, wide_kit: Path
) -> None:
    folder = wide_kit / "ground_truth" / "logical_anomalies"
    values = np.zeros((64, 96), np.uint8)
    values[5:9, 5:9] = 1
    Image.fromarray(values).save(folder / "000" / "000.png")
    values[20:30, 20:30] = 254
    Image.fromarray(values).save(folder / "001" / "000.png")
    result = evaluate(inspector, wide_kit, categories=["kit"])
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
def test_a_broken_explanation_of_masks_is_named(wide_kit: Path, text: str, reason: str) -> None:
    (wide_kit / "defects_config.json").write_text(text)
    with pytest.raises(InputError, match=rf"defects_config\.json {reason}"):
        open_pictures(wide_kit)


def test_two_defects_of_one_value_are_refused(wide_kit: Path) -> None:
    path = wide_kit / "defects_config.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([entries[0], entries[0]]))
    with pytest.raises(InputError, match="gives one pixel_value to two defects"):
        open_pictures(wide_kit)


def test_a_mask_of_another_size_than_its_picture_is_refused(wide_kit: Path) -> None:
    record = first_logical(wide_kit)
    with pytest.raises(PictureError, match="is a mask of 96x64, its picture is 10x10"):
        read_defects(record, (10, 10))
    shutil.rmtree(record.masks[0].parent)
    with pytest.raises(PictureError, match="cannot be read"):
        read_defects(record, (64, 96))


def test_verdicts_come_from_the_thresholds_of_the_category_or_those_for_all_as_asked(
    inspector: Inspector, factory: Path
) -> None:
    for_all = Thresholds(fail_above=1e9, review_above=1e9, false_alarm_rate=0.1, review_rate=0.1, n_good=9)
    nuts = for_all.model_copy(update={"fail_above": -1.0, "review_above": -1.0})
    assert inspector.calibration
    changes = {"thresholds": for_all, "categories": {"nut": nuts}}
    inspector.calibration = inspector.calibration.model_copy(update=changes)

    def verdicts(choice: ThresholdChoice) -> dict[str, set[str | None]]:
        result = evaluate(inspector, factory, categories=["nut", "linen"], thresholds=choice)
        assert result.metrics["thresholds"] == choice
        return {c: {t.verdict for t in result.tested if t.record.category == c} for c in ("nut", "linen")}

    assert verdicts("auto") == {"nut": {"FAIL"}, "linen": {"PASS"}}
    assert verdicts("global") == {"nut": {"PASS"}, "linen": {"PASS"}}
    with pytest.raises(InputError, match=r"no thresholds of their own for linen; .* --thresholds auto"):
        verdicts("category")
    inspector.calibration = None
    assert evaluate(inspector, factory).metrics["thresholds"] is None
