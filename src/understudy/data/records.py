"""Records: what is known of every picture of a data set before it is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from understudy.errors import InputError
from understudy.runtime.walk import LeftOut

__all__ = ["GOOD", "PictureData", "PictureSet", "Record", "Saturation", "Saturations"]

GOOD = "good"


class Saturation(BaseModel):
    """When a defect counts as found: an entry of MVTec LOCO's ``defects_config.json``.

    Attributes:
        defect_name: kind of defect.
        pixel_value: value of its pixels in masks, at least 1.
        saturation_threshold: number of found pixels that counts as finding all of the defect; a share of its
            area, in (0, 1], if ``relative_saturation``.
        relative_saturation: whether ``saturation_threshold`` is a share.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    defect_name: str
    pixel_value: int = Field(ge=1)
    saturation_threshold: float = Field(ge=0)
    relative_saturation: bool

    def pixels(self, area: int) -> int:
        """Return the number of found pixels that counts as finding all of a defect, from 1 to its area.

        Args:
            area: area of the defect in pixels.
        """
        wanted = self.saturation_threshold * (area if self.relative_saturation else 1)
        return max(1, min(int(wanted), area))


Saturations = Mapping[int, Saturation]
"""Saturations of one category, by the value of their pixels in masks."""


@dataclass(frozen=True, order=True)
class Record:
    """One picture of a data set.

    Attributes:
        category: product that it shows.
        split: what it may be used for.
        defect: kind of defect, or ``"good"``.
        path: picture file.
        masks: files that mark the pixels of its defects, together; empty if nobody marked them.
    """

    category: str
    split: Literal["train", "validation", "test"]
    defect: str
    path: Path
    masks: tuple[Path, ...] = field(default=(), compare=False)

    @property
    def is_good(self) -> bool:
        """Whether the picture shows no defect."""
        return self.defect == GOOD


@dataclass(frozen=True)
class PictureSet:
    """Records of a data set, and the layout that it was recognised by.

    Attributes:
        root: folder or list of the data set.
        layout: layout, in words.
        records: records, sorted.
        saturations: meaning of the values of masks, by category; categories without are not in it.
        left_out: files and folders that are in no record, with the reason.
    """

    root: Path
    layout: str
    records: tuple[Record, ...]
    saturations: Mapping[str, Saturations] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()

    @property
    def categories(self) -> list[str]:
        """Names of the products, sorted."""
        return sorted({r.category for r in self.records})

    def train(self) -> list[Record]:
        """Return the good pictures to learn from.

        Raises:
            InputError: a category has none.
        """
        chosen = [r for r in self.records if r.split == "train" and r.is_good]
        empty = sorted(set(self.categories) - {r.category for r in chosen})
        if empty:
            raise InputError(
                f"{self.root}: no good pictures to learn from in category {empty[0]!r} "
                f"(they belong into {empty[0]}/train/good, in a list into split train); add some or leave it "
                "out with --categories"
            )
        return chosen

    def validation(self) -> list[Record]:
        """Return the good pictures that the data set itself keeps from training; most data sets have none."""
        return [r for r in self.records if r.split == "validation" and r.is_good]

    def test(self) -> list[Record]:
        """Return the pictures to evaluate on, good and defective.

        Raises:
            InputError: there are none.
        """
        chosen = [r for r in self.records if r.split == "test"]
        if not chosen:
            raise InputError(
                f"{self.root}: no test pictures (they belong into <category>/test/good and "
                "<category>/test/<defect>, in a list into split test)"
            )
        return chosen

    def keep_known(self, categories: Iterable[str]) -> Self:
        """Return the set without the categories that are not listed; keep all if none is listed."""
        names = set(categories)
        kept = tuple(r for r in self.records if r.category in names)
        if not kept:
            return self
        unknown = Counter(r.category for r in self.records if r.category not in names)
        dropped = (
            LeftOut(self.root, count, f"of product {category!r}, which the model does not know")
            for category, count in sorted(unknown.items())
        )
        return replace(self, records=kept, left_out=(*self.left_out, *dropped))

    def only(self, categories: Iterable[str] | None) -> Self:
        """Return the set with these categories only; ``None`` keeps all.

        Raises:
            InputError: a category is not in the set; the message lists those that are.
        """
        if categories is None:
            return self
        wanted = list(categories)
        unknown = [c for c in wanted if c not in self.categories]
        if unknown or not wanted:
            known = ", ".join(self.categories)
            raise InputError(f"{self.root} has no category {', '.join(unknown)!r}; it has {known}")
        kept = tuple(r for r in self.records if r.category in wanted)
        return replace(self, records=kept)


PictureData: TypeAlias = str | Path | PictureSet
"""A folder or a list of pictures, or what :func:`understudy.open_pictures` returned for it."""
