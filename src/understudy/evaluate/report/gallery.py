"""Choose the test pictures that the report shows, and draw them; their number and size are bounded."""

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
from understudy.evaluate.explain import standing_of
from understudy.runtime.heatmap import heatmap, outline
from understudy.runtime.images import read_picture, resize_mask
from understudy.runtime.inspector import Inspector
from understudy.runtime.scoring import Scored

__all__ = ["Gallery", "GalleryPlan", "PictureCard", "choose", "data_address", "galleries", "gallery_plan"]


_BUDGET = 12_000_000  # characters of all pictures together
_CATEGORIES = 100  # categories shown, at most


class GalleryPlan(NamedTuple):
    """How much of a category is shown.

    Attributes:
        good: good pictures with the highest scores.
        missed: defective pictures with the lowest scores.
        typical: typical pictures.
        side: longer side of a picture in pixels.
    """

    good: int
    missed: int
    typical: int
    side: int


# (number of categories up to which the plan holds, plan)
_PLANS = ((4, GalleryPlan(4, 4, 6, 280)), (16, GalleryPlan(3, 3, 4, 240)), (40, GalleryPlan(2, 2, 1, 200)))
_LEAST = GalleryPlan(1, 1, 0, 160)


@dataclass(frozen=True)
class PictureCard:
    """One test picture as the page shows it.

    Attributes:
        name: file name.
        is_good: whether the picture shows no defect.
        defect: kind of defect, or ``good``.
        score: image-level anomaly score; larger is more abnormal.
        verdict: PASS, REVIEW or FAIL; empty while the model is not calibrated.
        wrong: whether the verdict is a false alarm or a missed defect.
        standing: of a wrong verdict, the place of the score among good pictures, in words; else empty.
        picture: thumbnail as a ``data:`` address.
        marked: thumbnail with the marked defect; ``None`` if nothing is marked.
        heat: thumbnail with the anomaly map over it.
    """

    name: str
    is_good: bool
    defect: str
    score: float
    verdict: str
    wrong: bool
    standing: str
    picture: str
    marked: str | None
    heat: str


@dataclass(frozen=True)
class Gallery:
    """The pictures shown of one category.

    Attributes:
        category: the product.
        groups: ``good`` (highest scores), ``missed`` (defective, lowest scores) and ``typical`` -> cards.
    """

    category: str
    groups: dict[str, list[PictureCard]]

    @property
    def n(self) -> int:
        """Number of cards in all groups."""
        return sum(map(len, self.groups.values()))


class _Choice(NamedTuple):
    category: str
    group: str
    rank: int
    tested: Tested


def gallery_plan(n_categories: int) -> GalleryPlan:
    """Number of categories -> how much of each is shown: with more categories, fewer and smaller pictures."""
    return next((plan for most, plan in _PLANS if n_categories <= most), _LEAST)


def choose(own: Sequence[Tested], plan: GalleryPlan) -> dict[str, list[Tested]]:
    """Choose the pictures of one category to show: name of the group -> pictures, none of them twice.

    The typical ones are defective pictures of all scores and one good picture with a middling score. Without
    defective pictures, all typical ones are good.
    """
    ordered = sorted(own, key=lambda t: t.score)
    bad = [t for t in ordered if not t.record.is_good]
    good = [t for t in reversed(ordered) if t.record.is_good]
    good_left = good[plan.good :]
    n_good = min(len(good_left), plan.typical, 1 if bad else plan.typical)
    typical = _spread(bad[plan.missed :], plan.typical - n_good) + _spread(good_left, n_good)
    return {"good": good[: plan.good], "missed": bad[: plan.missed], "typical": typical}


def _spread(ordered: Sequence[Tested], count: int) -> list[Tested]:
    """Take ``count`` pictures, evenly spread; a single one is taken from the middle."""
    count = min(count, len(ordered))
    return [ordered[int((i + 0.5) * len(ordered) / count)] for i in range(count)]


def galleries(model: Inspector, tested: Mapping[str, Sequence[Tested]]) -> list[Gallery]:
    """Read and score the chosen pictures again, and draw them, one gallery a category.

    A picture that can no longer be read is left out. If the page would grow too large, every category loses
    its least important pictures.

    Args:
        model: the model that was evaluated.
        tested: category -> its test pictures, most important category first.
    """
    shown = list(tested)[:_CATEGORIES]
    plan = gallery_plan(len(shown))
    chosen = [
        _Choice(category, group, rank, t)
        for category in shown
        for group, pictures in choose(tested[category], plan).items()
        for rank, t in enumerate(pictures)
    ]
    found: dict[str, dict[str, list[PictureCard]]] = {}
    for choice, card in _cards(model, sorted(chosen, key=lambda c: c.rank), plan.side):
        found.setdefault(choice.category, {}).setdefault(choice.group, []).append(card)
    return [Gallery(c, found[c]) for c in shown if c in found]


def _cards(model: Inspector, chosen: Sequence[_Choice], side: int) -> Iterator[tuple[_Choice, PictureCard]]:
    """Draw the cards in order, until their size reaches the budget."""
    paths, named = [c.tested.record.path for c in chosen], [model.match_category(c.category) for c in chosen]
    scored, used = model.scorer.score(paths, categories=named), 0
    for choice, result in zip(chosen, scored, strict=True):
        if isinstance(result, PictureError):
            continue
        try:
            card = _card(choice.tested, result, model, side)
        except PictureError:
            continue
        used += len(card.picture) + len(card.marked or "") + len(card.heat)
        if used > _BUDGET:
            return
        yield choice, card


def _card(t: Tested, result: Scored, model: Inspector, side: int) -> PictureCard:
    category = model.match_category(t.record.category)
    span = model.colour_span(category, [float(result.anomaly_map.max())])
    image = Image.fromarray(read_picture(t.record.path, model.scorer.preprocess.depth))
    image.thumbnail((side, side))
    picture = np.asarray(image)
    mask = None if t.record.is_good else read_masks(t.record, result.size)
    wrong = t.verdict == ("FAIL" if t.record.is_good else "PASS")
    standing = standing_of(model.calibration, category, t.score) if wrong else None
    return PictureCard(
        name=t.record.path.name,
        is_good=t.record.is_good,
        defect=t.record.defect,
        score=t.score,
        verdict=t.verdict or "",
        wrong=wrong,
        standing=standing.words() if standing else "",
        picture=data_address(picture),
        marked=None if mask is None else data_address(outline(picture, resize_mask(mask, picture.shape[:2]))),
        heat=data_address(heatmap(picture, result.anomaly_map, *span)),
    )


def data_address(picture: NDArray[np.uint8]) -> str:
    """(H, W, 3) uint8 picture -> JPEG in a ``data:`` address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
