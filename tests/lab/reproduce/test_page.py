"""The page: our figures beside the paper's, and none that would mislead."""

from __future__ import annotations

from collections.abc import Mapping

from understudy.lab.reproduce.page import Measurements, page, strongest_gains
from understudy.lab.reproduce.tables import MVTEC, TABLES, Models, TableCell, reported, sources

SNL = TABLES["snl-1"]
PAPER = reported("snl-1", SNL)
HEAVY = strongest_gains(SNL, PAPER)


def found(values: Mapping[tuple[str, Models, int], float], seeds: tuple[int, ...] = (0,)) -> Measurements:
    """The same figure in every category but bottle, which has 0.5."""
    by_seed: dict[TableCell, dict[int, float | None]] = {}
    for (label, models, seed), value in values.items():
        for category in MVTEC:
            cell = TableCell(label, models, category, "image_auroc")
            by_seed.setdefault(cell, {})[seed] = 0.5 if category == "bottle" else value
    return Measurements(by_seed, seeds, MVTEC, ["a fact"])


def row(text: str, *start: str) -> list[str]:
    """Cells behind the first line of a table that begins so."""
    begin = "| " + " | ".join(start) + " | "
    (line, *_) = [line for line in text.splitlines() if line.startswith(begin)]
    return line.removeprefix(begin).removesuffix(" |").split(" | ")


def test_our_mean_stands_beside_the_papers_with_the_difference_and_without_the_heavy_categories() -> None:
    text = page("snl-1", SNL, found({("RD", "unified", 0): 0.95}), PAPER, sources("snl-1", SNL), HEAVY)
    ours = (14 * 95 + 50) / 15
    expected = [f"{ours:.1f}", "94.4", f"{ours - 94.4:+.1f}", "95.0", "97.7", "-2.7"]
    assert row(text, "RD", "one model for all") == expected
    assert "without bottle and cable" in text
    assert "tables 1 to 4" in text
    assert "- a fact" in text


def test_every_category_is_told_beside_the_papers_figure() -> None:
    text = page("snl-1", SNL, found({("RD", "unified", 0): 0.95}), PAPER, [], HEAVY)
    assert row(text, "screw")[:3] == ["95.0", "96.5", "-1.5"]
    assert row(text, "bottle")[:3] == ["50.0", "66.5", "-16.5"]


def test_a_mean_of_fewer_seeds_than_asked_for_is_refused() -> None:
    some = found({("RD", "unified", 0): 0.9, ("RD", "unified", 1): 0.9}, seeds=(0, 1, 2))
    text = page("snl-1", SNL, some, PAPER, [], HEAVY)
    assert row(text, "RD", "one model for all")[0] == "2 of 3 seeds"
    assert row(text, "screw")[:3] == ["2 of 3 seeds", "96.5", "–"]


def test_seeds_are_told_as_their_mean_and_half_their_range() -> None:
    both = found({("RD", "unified", 0): 0.90, ("RD", "unified", 1): 0.92}, seeds=(0, 1))
    text = page("snl-1", SNL, both, PAPER, [], HEAVY)
    assert row(text, "screw")[0] == "91.0 ± 1.0"


def test_other_data_has_no_column_of_the_paper() -> None:
    text = page("snl-1", SNL, found({("RD", "unified", 0): 0.95}), {}, [], [])
    assert "paper |" not in text
    assert "they are of MVTec AD" in text
    assert row(text, "screw")[0] == "95.0"


def test_a_figure_that_cannot_be_told_is_a_dash() -> None:
    none: dict[TableCell, dict[int, float | None]] = {
        TableCell("STPM", "one-class", c, figure): {0: None if figure == "aupro" else 0.9}
        for c in MVTEC
        for figure in TABLES["stpm"].figures
    }
    text = page("stpm", TABLES["stpm"], Measurements(none, (0,), MVTEC, []), {}, [], [])
    assert [line for line in text.splitlines() if line == "| STPM | one model a category | – |"]


def test_a_part_of_the_papers_categories_is_set_beside_the_papers_mean_over_that_part() -> None:
    both = ("bottle", "screw")
    values = found({("RD", "unified", 0): 0.95})
    part = Measurements(values.by_seed, (0,), both, [])
    text = page("snl-1", SNL, part, PAPER, [], [])
    theirs = (66.5 + 96.5) / 2
    assert row(text, "RD", "one model for all") == ["72.5", f"{theirs:.1f}", f"{72.5 - theirs:+.1f}"]
    assert "one model for all has learned fewer" in text


def test_a_category_without_a_figure_is_named_and_no_mean_without_it_is_set_against_the_papers() -> None:
    values = found({("RD", "unified", 0): 0.95})
    cells = dict(values.by_seed)
    cells[TableCell("RD", "unified", "screw", "image_auroc")] = {0: None}
    text = page("snl-1", SNL, Measurements(cells, (0,), MVTEC, []), PAPER, [], HEAVY)
    assert "unknown for screw: means are over the other categories" in text
    assert row(text, "RD", "one model for all")[1:3] == ["–", "–"]
    assert row(text, "screw")[:3] == ["–", "96.5", "–"]


def test_readings_of_the_paper_are_told() -> None:
    text = page("snl-5", TABLES["snl-5"], Measurements({}, (0,), MVTEC, []), {}, [], [])
    assert all(note in text for note in TABLES["snl-5"].notes)


def test_a_row_that_is_only_reported_has_the_papers_figures_and_none_of_ours() -> None:
    text = page("snl-1", SNL, found({("RD", "unified", 0): 0.95}), PAPER, [], HEAVY)
    cell = TableCell("OmniAL", "unified", "mean", "image_auroc")
    assert row(text, "OmniAL", "one model for all")[:3] == ["–", f"{100 * PAPER[cell]:.1f}", "–"]
    (header, *_) = [line for line in text.splitlines() if line.startswith("| category |")]
    assert header.endswith("| OmniAL, paper |")
    assert row(text, "screw")[-1] == f"{100 * PAPER[cell._replace(category='screw')]:.1f}"
    assert "OmniAL |" not in page("snl-1", SNL, found({("RD", "unified", 0): 0.95}), {}, [], [])


def test_every_system_of_the_papers_table_has_a_row() -> None:
    assert [v.label for v in SNL.variants] == ["RD", "SNL(RD)", "FD", "SNL(FD)", "UniAD", "RD++"]
