"""Which test pictures the report shows, the most wrong ones first, and how: bounded, whatever the data."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.errors import PictureError
from understudy.evaluate import Tested, read_masks
from understudy.runtime.heatmap import colour_span, heatmap, outline
from understudy.runtime.images import read_picture, resize_mask
from understudy.runtime.inspector import Inspector
from understudy.runtime.scoring import Scored

__all__ = ["Gallery", "GalleryPlan", "PictureCard", "choose", "data_address", "galleries", "plan_for"]


_BUDGET = 12_000_000  # characters of all pictures together
_CATEGORIES = 100  # shown at most


class GalleryPlan(NamedTuple):
    """How much of a category is shown: good pictures, defects, typical ones, and their longer side."""

    good: int
    missed: int
    typical: int
    side: int


# By the number of categories up to which a plan holds.
_PLANS = ((4, GalleryPlan(4, 4, 6, 280)), (16, GalleryPlan(3, 3, 4, 240)), (40, GalleryPlan(2, 2, 1, 200)))
_LEAST = GalleryPlan(1, 1, 0, 160)


@dataclass(frozen=True)
class PictureCard:
    """One test picture as the page shows it: thumbnails as data addresses; ``marked`` if anyone marked it."""

    name: str
    is_good: bool
    defect: str
    score: float
    verdict: str
    wrong: bool
    picture: str
    marked: str | None
    heat: str


@dataclass(frozen=True)
class Gallery:
    """Cards of a category: good ones of high score, defects of low score, typical ones."""

    category: str
    groups: dict[str, list[PictureCard]]

    @property
    def n(self) -> int:
        """How many cards there are."""
        return sum(map(len, self.groups.values()))


class _Choice(NamedTuple):
    category: str
    group: str
    rank: int
    tested: Tested


def plan_for(n_categories: int) -> GalleryPlan:
    """Fewer and smaller pictures of each category, the more of them there are."""
    return next((plan for most, plan in _PLANS if n_categories <= most), _LEAST)


def choose(own: Sequence[Tested], plan: GalleryPlan) -> dict[str, list[Tested]]:
    """Pictures of one category by group; none is chosen twice.

    Typical are defects of all scores and a good picture from the middle, or good ones alone.
    """
    ordered = sorted(own, key=lambda t: t.score)
    bad = [t for t in ordered if not t.record.is_good]
    good = [t for t in reversed(ordered) if t.record.is_good]
    good_left = good[plan.good :]
    n_good = min(len(good_left), plan.typical, 1 if bad else plan.typical)
    typical = _spread(bad[plan.missed :], plan.typical - n_good) + _spread(good_left, n_good)
    return {"good": good[: plan.good], "missed": bad[: plan.missed], "typical": typical}


def _spread(ordered: Sequence[Tested], count: int) -> list[Tested]:
    """Evenly from all of them, the middle one if it is one."""
    count = min(count, len(ordered))
    return [ordered[int((i + 0.5) * len(ordered) / count)] for i in range(count)]


def galleries(model: Inspector, tested: Mapping[str, Sequence[Tested]]) -> list[Gallery]:
    """Galleries of the first categories; where pictures are heavy, each loses its less important ones.

    Pictures are read and scored again, one batch at a time; what cannot be read any more is left out.

    Args:
        model: that scored them.
        tested: by category, the most important one first.
    """
    shown = list(tested)[:_CATEGORIES]
    plan = plan_for(len(shown))
    chosen = [
        _Choice(category, group, rank, t)
        for category in shown
        for group, pictures in choose(tested[category], plan).items()
        for rank, t in enumerate(pictures)
    ]
    span = colour_span(model.thresholds, [t.score for own in tested.values() for t in own])
    found: dict[str, dict[str, list[PictureCard]]] = {}
    for choice, card in _cards(model, sorted(chosen, key=lambda c: c.rank), span, plan.side):
        found.setdefault(choice.category, {}).setdefault(choice.group, []).append(card)
    return [Gallery(c, found[c]) for c in shown if c in found]


def _cards(
    model: Inspector, chosen: Sequence[_Choice], span: tuple[float, float], side: int
) -> Iterator[tuple[_Choice, PictureCard]]:
    """Cards in order, until the budget is used up."""
    paths, named = [c.tested.record.path for c in chosen], [model.match_category(c.category) for c in chosen]
    scored, used = model.scorer.score(paths, categories=named), 0
    for choice, result in zip(chosen, scored, strict=True):
        if isinstance(result, PictureError):
            continue
        try:
            card = _card(choice.tested, result, span, side)
        except PictureError:
            continue
        used += len(card.picture) + len(card.marked or "") + len(card.heat)
        if used > _BUDGET:
            return
        yield choice, card


def _card(t: Tested, result: Scored, span: tuple[float, float], side: int) -> PictureCard:
    image = Image.fromarray(read_picture(t.record.path))
    image.thumbnail((side, side))
    picture = np.asarray(image)
    mask = None if t.record.is_good else read_masks(t.record, result.size)
    return PictureCard(
        name=t.record.path.name,
        is_good=t.record.is_good,
        defect=t.record.defect,
        score=t.score,
        verdict=t.verdict or "",
        wrong=t.verdict == ("FAIL" if t.record.is_good else "PASS"),
        picture=data_address(picture),
        marked=None if mask is None else data_address(outline(picture, resize_mask(mask, picture.shape[:2]))),
        heat=data_address(heatmap(picture, result.anomaly_map, *span)),
    )


def data_address(picture: NDArray[np.uint8]) -> str:
    """(H, W, 3) -> the picture as JPEG in a ``data:`` address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
