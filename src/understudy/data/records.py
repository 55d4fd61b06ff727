"""What is known of every picture of a data set before it is opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from understudy.errors import InputError

__all__ = ["GOOD", "PictureSet", "Record"]

GOOD = "good"


@dataclass(frozen=True, order=True)
class Record:
    """One picture.

    Attributes:
        category: the product it shows.
        split: what it may be used for.
        defect: kind of defect, or ``"good"``.
        path: the picture file.
        masks: files that mark its defects' pixels, together: none where nobody marked them.
    """

    category: str
    split: Literal["train", "validation", "test"]
    defect: str
    path: Path
    masks: tuple[Path, ...] = field(default=(), compare=False)

    @property
    def is_good(self) -> bool:
        """Whether it shows no defect."""
        return self.defect == GOOD


@dataclass(frozen=True)
class PictureSet:
    """Records of a folder, sorted, and the layout in which they were found."""

    root: Path
    layout: str
    records: tuple[Record, ...]

    @property
    def categories(self) -> list[str]:
        """Names of the products, sorted."""
        return sorted({r.category for r in self.records})

    def train(self) -> list[Record]:
        """Good pictures to learn from.

        Raises:
            InputError: a category has none.
        """
        chosen = [r for r in self.records if r.split == "train" and r.is_good]
        empty = sorted(set(self.categories) - {r.category for r in chosen})
        if empty:
            raise InputError(
                f"{self.root}: no good pictures to learn from in category {empty[0]!r} "
                f"(they belong into {empty[0]}/train/good); add some or leave it out with --categories"
            )
        return chosen

    def validation(self) -> list[Record]:
        """Good pictures that a data set sets aside from training itself; most have none."""
        return [r for r in self.records if r.split == "validation" and r.is_good]

    def test(self) -> list[Record]:
        """Pictures to evaluate on, good and defective.

        Raises:
            InputError: there are none at all.
        """
        chosen = [r for r in self.records if r.split == "test"]
        if not chosen:
            raise InputError(
                f"{self.root}: no test pictures (they belong into <category>/test/good and "
                "<category>/test/<defect>)"
            )
        return chosen

    def only(self, categories: Iterable[str] | None) -> Self:
        """The same set with these categories alone; ``None`` keeps all.

        Raises:
            InputError: a category is not there; the known ones are listed.
        """
        if categories is None:
            return self
        wanted = list(categories)
        unknown = [c for c in wanted if c not in self.categories]
        if unknown or not wanted:
            known = ", ".join(self.categories)
            raise InputError(f"{self.root} has no category {', '.join(unknown)!r}; it has {known}")
        kept = tuple(r for r in self.records if r.category in wanted)
        return type(self)(self.root, self.layout, kept)
