"""What was recognised in a data set and what was left out of it, in lines of text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from understudy.data.records import PictureSet
from understudy.runtime.walk import LeftOut

__all__ = ["announce", "describe", "kinds_of_defect", "kinds_of_defect_lines", "left_out_lines", "overview"]

_MOST_CATEGORIES = 20  # in the table; above, a sum
_MOST_KINDS = 8  # of defect in a line; above, their number
_MOST_FOLDERS = 3  # left out for one reason; above, a sum
_HEADER = ("category", "split", "good", "defects", "with mask")


def announce(picture_set: PictureSet, say: Callable[[str], None], note: str = "") -> None:
    """Say what was recognised, before the work on it begins.

    Args:
        picture_set: pictures of the data set.
        say: takes one line of text.
        note: end of the first line.
    """
    for line in (describe(picture_set) + note, *overview(picture_set)):
        say(line)


def describe(picture_set: PictureSet) -> str:
    """Return one line on what was recognised: root, layout, number of categories and of pictures."""
    categories, pictures = len(picture_set.categories), len(picture_set.records)
    return (
        f"{picture_set.root}: {picture_set.layout}, "
        f"{categories} {'category' if categories == 1 else 'categories'}, "
        f"{pictures} {'picture' if pictures == 1 else 'pictures'}"
    )


def overview(picture_set: PictureSet) -> list[str]:
    """Return a table of the categories and their splits, and lines on kinds of defect and on the rest."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for record in picture_set.records:
        part = counts[record.category, record.split]
        part["good" if record.is_good else "defects"] += 1
        part["with mask"] += bool(record.masks)
    if len(picture_set.categories) > _MOST_CATEGORIES:
        lines = _sums(counts)
    else:
        order = {"train": 0, "validation": 1, "test": 2}
        keys = sorted(counts, key=lambda key: (key[0], order[key[1]]))
        rows = [(*key, *(str(counts[key][name]) for name in _HEADER[2:])) for key in keys]
        lines = list(_aligned([_HEADER, *rows]))
    return [*lines, *kinds_of_defect_lines(picture_set), *left_out_lines(picture_set.left_out)]


def kinds_of_defect(picture_set: PictureSet) -> dict[str, dict[str, int]]:
    """Return category -> kind of defect -> number of pictures, most first; only categories with defects."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in picture_set.records:
        if not record.is_good:
            counts[record.category][record.defect] += 1
    return {category: _most_first(counts[category]) for category in sorted(counts)}


def kinds_of_defect_lines(picture_set: PictureSet) -> list[str]:
    """Return a line on the kinds of defect of each category; one line for all if there are many."""
    kinds = kinds_of_defect(picture_set)
    if len(picture_set.categories) > _MOST_CATEGORIES and kinds:
        total = sum((Counter(own) for own in kinds.values()), Counter[str]())
        return [f"kinds of defect: {_kinds(_most_first(total))}"]
    several = len(picture_set.categories) > 1
    return [
        f"kinds of defect{f' of {category}' if several else ''}: {_kinds(own)}"
        for category, own in kinds.items()
    ]


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _kinds(counts: dict[str, int]) -> str:
    shown = [f"{kind} {count}" for kind, count in list(counts.items())[:_MOST_KINDS]]
    more = f" and {len(counts) - _MOST_KINDS} more" if len(counts) > _MOST_KINDS else ""
    return ", ".join(shown) + more


def left_out_lines(left_out: Iterable[LeftOut]) -> list[str]:
    """Return lines on what was left out: one a folder; one a reason if it has many folders."""
    by_reason: dict[str, list[LeftOut]] = defaultdict(list)
    for each in left_out:
        by_reason[each.reason].append(each)
    lines: list[str] = []
    for reason, members in by_reason.items():
        if len(members) <= _MOST_FOLDERS:
            lines += (
                f"left out: {each.folder}: {_files(each.files) + ', ' if each.files else ''}{reason}"
                for each in members
            )
        else:
            count = sum(each.files for each in members)
            what = f"{_files(count)} in {len(members)} folders" if count else f"{len(members)} folders"
            lines.append(f"left out: {what}, such as {members[0].folder}: {reason}")
    return lines


def _files(count: int) -> str:
    return f"{count} {'file' if count == 1 else 'files'}"


def _sums(counts: dict[tuple[str, str], Counter[str]]) -> list[str]:
    """Return one line for each split of all categories together."""
    lines = []
    for split in ("train", "validation", "test"):
        parts = {category: part for (category, own), part in counts.items() if own == split}
        if parts:
            good, defects, marked = (sum(part[name] for part in parts.values()) for name in _HEADER[2:])
            fewest = min(parts, key=lambda category: (parts[category]["good"], category))
            lines.append(
                f"{split}: {len(parts)} categories, {good} good, {defects} with a defect, {marked} with a "
                f"mask; fewest good ones in {fewest}: {parts[fewest]['good']}"
            )
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the rows of a table, the first two columns to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
