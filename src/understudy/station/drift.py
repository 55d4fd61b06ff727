"""Warns when good pictures of a line are no longer like those of its calibration: light, lens, supplier.

Each product has four streams of figures: score, distance, brightness and sharpness. Each is watched by the
conformal test martingale of :mod:`understudy.station.martingale`. One budget, the chance that any alarm is
ever false, is shared by all streams, and within a stream by its runs, as
:func:`understudy.station.martingale.spent` says.
"""

from __future__ import annotations

import math
import random
from array import array
from bisect import insort
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from threading import Lock
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from understudy.errors import InputError
from understudy.runtime.decision import Calibration, Reference, thresholds_for
from understudy.station.martingale import HORIZON, Wealth, conformal_p, spent

__all__ = ["Alarm", "DriftMonitor", "Observed", "Stream", "references_of"]

ANCHOR = 200  # figures that a run begins with: the reference, filled up with the life's first pictures
EVERY = 10  # default: with 1, most good lines whose pictures come five in a row give a false alarm
FEWEST = 5  # figures of a reference whose median is named
RECENT = 50  # pictures among which the beginning of a change is looked for

_WORDS = {  # what is said of figures that rise, and that fall
    "score": ("score higher than", "score lower than"),
    "distance": ("look less like the product than", "lie nearer to the product's mean than"),
    "brightness": ("are brighter than", "are darker than"),
    "sharpness": ("are sharper than", "are less sharp than"),
}


class Observed(NamedTuple):
    """Figures of one picture of a line; ``None`` or NaN where there is none.

    Attributes:
        score: image-level anomaly score; ``None`` if it is above the FAIL threshold. Defects are part of a
            line, so only pictures that do not fail are compared with each other.
        distance: distance from the prototype of the product.
        brightness: mean luminance of the canvas.
        sharpness: see :func:`understudy.runtime.light.sharpness`.
    """

    score: float | None
    distance: float | None
    brightness: float | None
    sharpness: float | None


class Stream(NamedTuple):
    """State of one stream.

    Attributes:
        product: product.
        name: ``score``, ``distance``, ``brightness`` or ``sharpness``.
        n: pictures counted since the start or the last reset.
        level: base-10 logarithm of the martingale.
        limit: level at which it alarms.
        since: ``n`` at which it alarmed; ``None`` if it has not. It counts no more pictures then.
        what: the state in a sentence.
    """

    product: str
    name: str
    n: int
    level: float
    limit: float
    since: int | None
    what: str


@dataclass(frozen=True)
class Alarm:
    """A stream of figures that has changed.

    Attributes:
        product: product.
        name: name of the stream.
        n: pictures counted when it alarmed.
        what: what changed, which way and by how much, in a sentence.
    """

    product: str
    name: str
    n: int
    what: str

    def __str__(self) -> str:
        """Return the sentence."""
        return self.what


def references_of(calibration: Calibration | None) -> dict[str, Reference]:
    """Return the references of a calibration, without scores that FAIL, as a line's are left out too."""
    if calibration is None:
        return {}
    return {
        product: each.model_copy(
            update={
                "score": tuple(s for s in each.score if s <= thresholds_for(calibration, product).fail_above)
            }
        )
        for product, each in calibration.references.items()
    }


class DriftMonitor:
    """Watches the figures of all products of a line; safe for several threads.

    Args:
        products: products of the line.
        references: figures of good pictures; see :func:`references_of`. A stream without any is compared with
            the line's own first pictures.
        budget: chance that any alarm is ever false, in (0, 1).
        every: count one picture of a product in so many, at least 1. Pictures in a row that are alike, as of
            one tray, are no evidence of their own and break the bound, so it should be more than come in a
            row.
        seed: seed of the random numbers that break ties.

    Raises:
        InputError: the budget or ``every`` is out of range.
    """

    def __init__(
        self,
        products: Sequence[str],
        references: Mapping[str, Reference],
        *,
        budget: float = 0.01,
        every: int = EVERY,
        seed: int = 0,
    ) -> None:
        if not 0 < budget < 1:
            raise InputError(f"the chance of a false drift alarm lies between 0 and 1, got {budget:g}")
        if every < 1:
            raise InputError(f"drift counts one picture in 1 or more, got {every}")
        self.budget, self.every = budget, every
        self._chance, self._lock = random.Random(seed), Lock()
        self._seen = dict.fromkeys(products, 0)
        needed = math.log10(len(self._seen) * len(_WORDS) / budget) if self._seen else 0.0
        self._watches = {
            product: [
                _Watch(product, name, getattr(references.get(product, Reference()), name), needed)
                for name in _WORDS
            ]
            for product in self._seen
        }

    def add(self, product: str, observed: Observed) -> list[Alarm]:
        """Count the figures of one picture.

        Args:
            product: product that it shows; pictures of products that the monitor does not know do not count.
            observed: its figures.

        Returns:
            Alarms that this picture gave, and no picture before.
        """
        with self._lock:
            if product not in self._seen:
                return []
            self._seen[product] += 1
            if (self._seen[product] - 1) % self.every:
                return []
            pairs = zip(self._watches[product], observed, strict=True)
            return [
                watch.alarm()
                for watch, figure in pairs
                if figure is not None and math.isfinite(figure) and watch.add(figure, self._chance.random())
            ]

    def status(self) -> list[Stream]:
        """Return the state of every stream, product by product."""
        with self._lock:
            return [watch.status() for watches in self._watches.values() for watch in watches]

    def reset(self, product: str | None = None) -> None:
        """Begin anew after a cause was mended.

        The budget stays what it was for all time, so a stream needs more evidence after each reset. After a
        new calibration make a new monitor instead.

        Args:
            product: product whose streams begin anew; ``None`` for all.
        """
        with self._lock:
            for name, watches in self._watches.items():
                for watch in watches if product in (None, name) else ():
                    watch.begin(watch.life + 1)

    def dump(self) -> dict[str, Any]:
        """Return the state, as JSON can hold it."""
        with self._lock:
            streams = tuple(w.kept() for watches in self._watches.values() for w in watches)
            kept = _KeptMonitor(budget=self.budget, every=self.every, seen=dict(self._seen), streams=streams)
        return kept.model_dump(mode="json")

    @classmethod
    def load(cls, content: Mapping[str, Any]) -> DriftMonitor:
        """Make a monitor of what :meth:`dump` returned; it goes on where that one stopped.

        Raises:
            ValueError: the content is something else.
        """
        kept = _KeptMonitor.model_validate(content)
        monitor = cls(list(kept.seen), {}, budget=kept.budget, every=kept.every, seed=sum(kept.seen.values()))
        monitor._seen = dict(kept.seen)
        watches = [w for each in monitor._watches.values() for w in each]
        if [(w.product, w.name) for w in watches] != [(s.product, s.name) for s in kept.streams]:
            raise ValueError("the streams of the monitor are not those of its products")
        for watch, stream in zip(watches, kept.streams, strict=True):
            watch.restore(stream)
        return monitor


class _KeptStream(BaseModel):
    """State of a stream in a dump; ``history`` lacks the figures that a run begins with."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    product: str
    name: str
    reference: tuple[float, ...]
    life: int = Field(ge=1)
    run: int = Field(ge=1)
    n: int = Field(ge=0)
    since: int | None
    what: str
    anchor: tuple[float, ...]
    history: tuple[float, ...]
    recent: tuple[tuple[float, float], ...]
    wealth: dict[str, Any]


class _KeptMonitor(BaseModel):
    """State of a monitor in a dump."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: float = Field(gt=0, lt=1)
    every: int = Field(ge=1)
    seen: dict[str, int]
    streams: tuple[_KeptStream, ...]


class _Watch:
    """One stream: its reference, the pictures of its run, and the wealth of the bets against it.

    A run counts :data:`HORIZON` pictures. It begins with the reference, filled up to :data:`ANCHOR` figures
    with the first pictures of the life, so memory is bounded. A life begins with a reset.
    """

    def __init__(self, product: str, name: str, reference: Sequence[float], needed: float) -> None:
        self.product, self.name, self.needed = product, name, needed
        self.reference = tuple(map(_as_kept, reference))
        self.begin(1)

    def begin(self, life: int) -> None:
        self.life, self.run, self.n = life, 1, 0
        self.since: int | None = None
        self.what = ""
        self.anchor: list[float] = []
        self.recent: deque[tuple[float, float]] = deque(maxlen=RECENT)
        self._start([])

    def _start(self, anchor: Sequence[float]) -> None:
        self.history, self.wealth = array("d", sorted([*self.reference, *anchor])), Wealth()

    def add(self, figure: float, chance: float) -> bool:
        """Bet on a figure, and tell whether it gave the alarm."""
        if self.since is not None:
            return False
        if self.wealth.t == HORIZON:
            self.run += 1
            self._start(self.anchor)
        figure = _as_kept(figure)
        p = conformal_p(self.history, figure, chance)
        insort(self.history, figure)
        if self.run == 1 and len(self.reference) + len(self.anchor) < ANCHOR:
            self.anchor.append(figure)
        self.recent.append((p, figure))
        self.n += 1
        if self.wealth.bet(p) < self.limit:
            return False
        self.since, self.what = self.n, self._sentence()
        return True

    @property
    def limit(self) -> float:
        return self.needed - math.log10(spent(self.life, self.run))

    def alarm(self) -> Alarm:
        return Alarm(self.product, self.name, self.n, self.what)

    def status(self) -> Stream:
        what = self.what or self._quiet()
        return Stream(self.product, self.name, self.n, float(self.wealth.level), self.limit, self.since, what)

    def kept(self) -> _KeptStream:
        return _KeptStream(
            product=self.product,
            name=self.name,
            reference=self.reference,
            life=self.life,
            run=self.run,
            n=self.n,
            since=self.since,
            what=self.what,
            anchor=tuple(self.anchor),
            history=tuple(self.history),
            recent=tuple(self.recent),
            wealth=self.wealth.dump(),
        )

    def restore(self, kept: _KeptStream) -> None:
        self.reference, self.life, self.run, self.n = kept.reference, kept.life, kept.run, kept.n
        self.since, self.what, self.anchor = kept.since, kept.what, list(kept.anchor)
        self.recent = deque(kept.recent, maxlen=RECENT)
        self.history, self.wealth = array("d", sorted(kept.history)), Wealth.load(kept.wealth)

    def _sentence(self) -> str:
        changed = self._changed()
        now, lower = median(x for _, x in changed), sum(p for p, _ in changed) > len(changed) / 2
        before, whose = self.reference, "the calibration's"
        if len(before) < FEWEST:
            before, whose = tuple(self.anchor), "the line's first ones"
        return (
            f"{self.product}: pictures {_WORDS[self.name][lower]} {whose}: median {self.name} {now:.3g}, was "
            f"{median(before):.3g}"
        )

    def _changed(self) -> list[tuple[float, float]]:
        """Return the latest pictures whose p-values are farthest from what chance gives."""
        latest, total, best = list(self.recent)[::-1], 0.0, (-1.0, 1)
        for k, (p, _) in enumerate(latest, start=1):
            total += p - 0.5
            best = max(best, (abs(total) / math.sqrt(k), k))
        return latest[: best[1]]

    def _quiet(self) -> str:
        if not self.n:
            return "no picture yet"
        few = len(self.reference) < FEWEST
        line = ", beside its own first ones, as the calibration has too few" if few else ""
        return f"no change seen in {self.n} picture{'s' * (self.n != 1)}{line}"


def _as_kept(figure: float) -> float:
    """Round a figure as references are rounded, so that equal figures stay equal."""
    return float(f"{figure:.6g}")
