"""Write our figures beside those of a paper, as one page of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from understudy.lab.reproduce.tables import FIGURES, MEAN, Models, Table, TableCell

__all__ = ["Measurements", "page", "strongest_gains"]


_MODELS: dict[Models, str] = {"unified": "one model for all", "one-class": "one model a category"}
_DASH = "–"
_MOST = 2  # categories that the second mean leaves out


@dataclass(frozen=True)
class Measurements:
    """Our figures of a table.

    Attributes:
        by_seed: cell of the table -> seed -> figure, a fraction; ``None`` if the run could not compute it.
            Seeds that have not run yet are missing.
        seeds: seeds that were asked for. A mean over fewer seeds is not shown.
        categories: categories of the data.
        facts: sentences about all runs, for the end of the page.
    """

    by_seed: Mapping[TableCell, Mapping[int, float | None]]
    seeds: Sequence[int]
    categories: Sequence[str]
    facts: Sequence[str]

    def over_seeds(self, cell: TableCell, among: Sequence[str] = ()) -> list[float] | str:
        """TableCell -> one figure for every seed, or a text that says why there is none.

        Args:
            cell: a cell of one category, or of the mean over the categories that have the figure.
            among: categories to average over; all by default.
        """
        wanted = (among or self.categories) if cell.category == MEAN else [cell.category]
        columns = [self.by_seed.get(cell._replace(category=c), {}) for c in wanted]
        done = [seed for seed in self.seeds if all(seed in column for column in columns)]
        if len(done) < len(self.seeds):
            return f"{len(done)} of {len(self.seeds)} seeds"
        known = [[v for column in columns if (v := column[seed]) is not None] for seed in done]
        return [mean(values) for values in known] if all(known) else _DASH

    def without(self, figure: str) -> list[str]:
        """Categories for which a finished run could not compute a figure."""
        return [
            category
            for category in self.categories
            if any(
                None in seeds.values()
                for cell, seeds in self.by_seed.items()
                if (cell.category, cell.figure) == (category, figure)
            )
        ]


def page(
    name: str,
    table: Table,
    found: Measurements,
    paper: Mapping[TableCell, float],
    sources: Sequence[str],
    heavy: Sequence[str],
) -> str:
    """Write the whole page.

    Args:
        name: name of the table on the command line.
        table: what is compared.
        found: our figures.
        paper: figures of the paper, as fractions; empty if the data is not that of the paper.
        sources: where the figures of the paper come from.
        heavy: categories that a second mean leaves out; see :func:`strongest_gains`.
    """
    parts = [
        f"# {table.title}: `{name}`\n",
        _about(table, found, paper, sources),
        *(_means(table, figure, found, paper, heavy) for figure in table.figures),
        *(
            _by_category(table, figure, models, found, paper)
            for figure in table.figures
            for models in table.models
        ),
        "## How it was made\n\n" + "".join(f"- {fact}\n" for fact in (*found.facts, *table.notes)),
    ]
    return "\n".join(parts)


def strongest_gains(table: Table, paper: Mapping[TableCell, float]) -> list[str]:
    """Find the two categories with the largest gain in the paper, with one model for all categories."""
    if table.level is None or not paper:
        return []
    before, after = table.gain
    (figure,) = table.figures
    gains = {
        c: paper[TableCell(after, "unified", c, figure)] - paper[TableCell(before, "unified", c, figure)]
        for c in table.categories
    }
    return sorted(gains, key=lambda c: gains[c], reverse=True)[:_MOST]


def _about(
    table: Table, found: Measurements, paper: Mapping[TableCell, float], sources: Sequence[str]
) -> str:
    seeds = ", ".join(map(str, found.seeds))
    spread = " (± half the range over them)" if len(found.seeds) > 1 else ""
    text = f"Figures are in percent: means over seeds {seeds}{spread}, of the students of the last step. "
    text += "Nothing was chosen on test pictures. "
    if not paper:
        names = ", ".join(table.categories)
        return f"{text}The paper's figures are left out: they are of {table.data}, which holds {names}.\n"
    text += f"The paper's figures are from {'; '.join(sources)}; differences are in points."
    if len(found.categories) < len(table.categories):
        text += " The data has only some of the paper's categories, so one model for all has learned fewer."
    return text + "\n"


def _means(
    table: Table, figure: str, found: Measurements, paper: Mapping[TableCell, float], heavy: Sequence[str]
) -> str:
    """Write the table of means: one row a variant; means over all categories, and without the heavy ones."""
    kept = [c for c in found.categories if c not in heavy] if heavy else []
    header = ["", "learned as", *_columns("", paper)]
    header += _columns(f"without {' and '.join(heavy)}", paper) if kept else []
    lines, lacking = [], found.without(figure)
    for variant in table.variants:
        for models in table.models:
            cell = TableCell(variant.label, models, MEAN, figure)
            line = [variant.label, _MODELS[models]]
            for among in (found.categories, kept) if kept else (found.categories,):
                theirs = None if lacking else _paper_mean(paper, cell, among, table)
                line += _compared(found.over_seeds(cell, among), theirs, paper)
            lines.append(line)
    lines += _means_reported(table, figure, paper, [found.categories, *([kept] if kept else [])])
    text = f"## {FIGURES[figure]}, mean over categories\n\n" + _markdown(header, lines)
    if kept:
        before, after = table.gain
        text += (
            f"\n{' and '.join(heavy)} are the categories with the largest gain of {after} over {before} in "
            "the paper, with one model for all.\n"
        )
    if lacking:
        text += f"\nThe figure is unknown for {', '.join(lacking)}: means are over the other categories.\n"
    return text


def _means_reported(
    table: Table,
    figure: str,
    paper: Mapping[TableCell, float],
    means: Sequence[Sequence[str]],
) -> list[list[str]]:
    """Return the lines of the rows that have the paper's figures alone; none without these."""
    lines = []
    for label in table.only_reported if paper else ():
        for models in table.models:
            line = [label, _MODELS[models]]
            for among in means:
                theirs = _paper_mean(paper, TableCell(label, models, MEAN, figure), among, table)
                line += _compared(_DASH, theirs, paper)
            lines.append(line)
    return lines


def _paper_mean(
    paper: Mapping[TableCell, float], cell: TableCell, among: Sequence[str], table: Table
) -> float | None:
    """Mean of the paper over some categories; ``None`` if the paper lacks a figure.

    The mean over all categories is the printed one.
    """
    if len(among) == len(table.categories):
        return paper.get(cell)
    known = [v for category in among if (v := paper.get(cell._replace(category=category))) is not None]
    return mean(known) if len(known) == len(among) else None


def _by_category(
    table: Table, figure: str, models: Models, found: Measurements, paper: Mapping[TableCell, float]
) -> str:
    """Write the table of categories: one row a category, one column a variant.

    The figures of the paper stand beside ours if it reports each category.
    """
    theirs = paper if table.level else {}
    header = ["category"]
    for variant in table.variants:
        header += _columns(variant.label, theirs)
    header += [f"{label}, paper" for label in table.only_reported if theirs]
    lines = []
    for category in found.categories:
        line = [category]
        for variant in table.variants:
            cell = TableCell(variant.label, models, category, figure)
            line += _compared(found.over_seeds(cell), theirs.get(cell), theirs)
        alone = [theirs.get(TableCell(x, models, category, figure)) for x in table.only_reported if theirs]
        lines.append(line + [_DASH if value is None else f"{100 * value:.1f}" for value in alone])
    return f"## {FIGURES[figure]} by category, {_MODELS[models]}\n\n" + _markdown(header, lines)


def _columns(label: str, paper: Mapping[TableCell, float]) -> list[str]:
    """Headings of the columns that :func:`_compared` fills."""
    ours = label or "ours"
    return [ours, "paper", "difference"] if paper else [ours]


def _compared(ours: list[float] | str, theirs: float | None, paper: Mapping[TableCell, float]) -> list[str]:
    """Cells of one figure: ours, and if there are figures of a paper, the paper's and the difference."""
    shown = ours if isinstance(ours, str) else _spread(ours)
    if not paper:
        return [shown]
    if theirs is None:
        return [shown, _DASH, _DASH]
    difference = _DASH if isinstance(ours, str) else f"{100 * (mean(ours) - theirs):+.1f}"
    return [shown, f"{100 * theirs:.1f}", difference]


def _spread(values: Sequence[float]) -> str:
    """Figures of several seeds -> mean and half the range, in percent."""
    middle = f"{100 * mean(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ± {50 * (max(values) - min(values)):.1f}"


def _markdown(header: Iterable[str], lines: Iterable[Sequence[str]]) -> str:
    join: Callable[[Iterable[str]], str] = lambda cells: "| " + " | ".join(cells) + " |\n"  # noqa: E731
    header = list(header)
    return join(header) + join(["---"] * len(header)) + "".join(map(join, lines))
