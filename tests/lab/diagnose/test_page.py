"""What the page of a diagnosis shows: the worst pairs first, bounded, and a dash where there is no figure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from understudy import Diagnosis, Inspector
from understudy.lab.diagnose.job import examples_of
from understudy.lab.diagnose.measure import mean_nested, measure
from understudy.lab.diagnose.page import write_diagnosis
from understudy.lab.diagnose.synthesis import LAMS, Trials
from understudy.runtime.images import unit

SIDE = 40


def whiteness(pictures: Iterable[NDArray[np.generic]]) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """A model to which white is abnormal: score is the mean, the map the picture."""
    for picture in pictures:
        gray = unit(picture).mean(axis=-1)  # type: ignore[arg-type]
        yield float(gray.mean()), gray


def diagnosis_of(values: dict[str, list[int]]) -> Diagnosis:
    """Categories of flat pictures of these values, all pairs mixed and pasted one way."""
    good = {c: np.stack([np.full((SIDE, SIDE, 3), v, np.uint8) for v in own]) for c, own in values.items()}
    trials, pairs = Trials(good, n_mixes=2, n_pastes=2), list(combinations(values, 2))
    measured = measure(whiteness, trials, pairs, pairs)
    mixes, pastes = [m.to_dict() for m in measured.mixes], [p.to_dict() for p in measured.pastes]
    figures = {
        "schema": 1,
        "method": "whiteness",
        "teacher": "none",
        "image_size": SIDE,
        "seed": 0,
        "lams": list(LAMS),
        "categories": {c: {"n_good": len(own)} for c, own in good.items()},
        "one_class": None,
        "mix": {"pairs": mixes, "mean": _mean(mixes, "mixed")},
        "paste": {"pairs": pastes, "mean": _mean(pastes, "pasted")},
    }
    return Diagnosis(measured, examples_of(whiteness, trials, measured), figures)


def _mean(results: list[dict[str, object]], made: str) -> dict[str, object]:
    return {key: mean_nested([r[key] for r in results]) for key in (made, "same_class", "interference")}


def written(inspector: Inspector, diagnosis: Diagnosis, folder: Path) -> str:
    write_diagnosis(folder / "page.html", inspector, diagnosis)
    return (folder / "page.html").read_text(encoding="utf-8")


def test_pairs_are_in_order_of_their_auroc_the_lowest_first(inspector: Inspector, tmp_path: Path) -> None:
    """A mix lies above the darker pictures; a patch is found where it is whiter than its background."""
    made = diagnosis_of({"white": [253, 254, 255], "black": [0, 1, 2], "gray": [100, 101]})
    page = written(inspector, made, tmp_path)
    assert [round(m.auroc, 3) for m in made.measured.mixes] == [0.5, 0.4, 0.6]
    shown = re.findall(r"<tr><td>(\w+ \+ \w+)</td>", page)
    assert shown == ["white + gray", "white + black", "black + gray"]
    assert [p.auroc for p in made.measured.pastes] == [1, 1, 0]
    shown = re.findall(r"<tr><td>(\w+ on \w+)</td>", page)
    assert shown == ["black on gray", "white on black", "white on gray"]


def test_a_page_of_many_pairs_is_bounded_and_says_where_all_are(inspector: Inspector, tmp_path: Path) -> None:
    made = diagnosis_of({f"c{i}": [20 * i, 20 * i + 1] for i in range(9)})
    page = written(inspector, made, tmp_path)
    assert len(made.measured.mixes) == 36
    assert len(re.findall(r"<tr><td>c\d \+ c\d</td>", page)) == 30
    assert len(re.findall(r"<tr><td>c\d on c\d</td>", page)) == 30
    assert page.count("diagnosis.json holds all 36") == 2
    assert len(re.findall(r"<figcaption><b>c\d \+ c\d</b></figcaption>", page)) == 6
    assert page.count('alt="heat map"') == len(made.examples) == 2 * (3 + 3)
    assert page.count('<span class="tag">control</span>') == 3 + 3


def test_a_control_that_could_not_be_made_is_a_dash(inspector: Inspector, tmp_path: Path) -> None:
    page = written(inspector, diagnosis_of({"black": [0], "white": [255]}), tmp_path)
    row = re.search(r"<tr><td>black \+ white</td>(.*?)</tr>", page)
    assert row
    assert re.findall(r"<td>([^<]*)</td>", row[1])[-3:] == ["–", "–", "3"]
    assert "None" not in page


def test_a_name_is_text_and_nothing_else(inspector: Inspector, tmp_path: Path) -> None:
    page = written(inspector, diagnosis_of({"<script>x</script>": [0, 1], "white": [254, 255]}), tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;x&lt;/script&gt; + white" in page
