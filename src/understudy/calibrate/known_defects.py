"""Known defective pictures -> the share that the limits of a model find; they never set a limit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from understudy.data.kinds import split_name
from understudy.data.layouts import open_pictures
from understudy.data.records import PictureData, PictureSet, Record
from understudy.data.words import words_of
from understudy.errors import InputError, PictureError
from understudy.progress import Reporter
from understudy.runtime.decision import judge
from understudy.runtime.inspector import Inspector
from understudy.runtime.sources import list_sources
from understudy.runtime.walk import exists

__all__ = ["DefectPicture", "DefectsFound", "find_defects", "list_defects", "suggest_rate"]


LESS_THAN = 0.02  # share of the defects that a doubled rate finds more, below which it is not worth it


class DefectPicture(NamedTuple):
    """A defective picture.

    Attributes:
        path: picture file.
        category: the model's category that it shows; ``None`` if it must be recognised.
    """

    path: Path
    category: str | None


@dataclass(frozen=True)
class DefectsFound:
    """How many known defective pictures a calibrated model finds.

    Attributes:
        n: number of pictures that were scored.
        failed: number that FAIL by the thresholds.
        reviewed: number in REVIEW by the thresholds, those of unknown products too.
        unknown: number taken for an unknown product; none of them counts as found.
        found: rate of false alarms -> number above the limit for that rate, smallest rate first.
        seen: number that the training has seen among its good pictures.
        broken: what is wrong with each of the other pictures.
    """

    n: int
    failed: int
    reviewed: int
    unknown: int
    found: Mapping[float, int]
    seen: int
    broken: tuple[str, ...]

    def lines(self) -> list[str]:
        """Say in lines of text what is found, at which rate, and which rate that suggests."""
        said = [f"left out of the defects: {line}" for line in self.broken]
        if not self.n:
            return [*said, "no defective picture can be used, so nothing is known of how many are found"]
        if self.seen:
            said.append(
                f"{self.seen} of the defective pictures were among the good ones of the training; sort them "
                "out and train again"
            )
        if self.unknown:
            said.append(
                f"{self.unknown} of the defective pictures look like no known product, so they go to REVIEW "
                "and count as not found"
            )
        said.append(
            f"of {self.n} defective pictures {self._percent(self.failed)} FAIL and "
            f"{self._percent(self.reviewed)} go to REVIEW"
        )
        if self.found:
            shares = (f"{self._percent(k)} at {100 * rate:g} %" for rate, k in self.found.items())
            said.append(f"this many would FAIL, by the rate of false alarms: {', '.join(shares)}")
        else:
            said.append(
                "other rates of false alarms are not compared: the good pictures are too few for them"
            )
        if (rate := suggest_rate(self.found, self.n)) is not None:
            said.append(
                f"suggested: --false-alarm-rate {rate:g}, the smallest rate beyond which no doubling finds "
                f"{100 * LESS_THAN:g} points more; no defect has changed a threshold"
            )
            if self.n * LESS_THAN < 1:
                said.append(f"one picture of {self.n} is {self._percent(1)}, so this is rough")
        elif self.found and not any(self.found.values()):
            said.append(
                "no rate of these finds any of the defective pictures, so none is suggested; see understudy "
                "explain for where their scores lie"
            )
        return said

    def _percent(self, count: int) -> str:
        return f"{100 * count / self.n:.3g} %"


def suggest_rate(found: Mapping[float, int], n: int) -> float | None:
    """Return the smallest rate beyond which no doubling finds 2 points more of the defects.

    A rate can find less than a smaller one, because other products have limits of their own there. A step
    then counts by what it finds more than any rate before it.

    Args:
        found: rate of false alarms -> number of defective pictures found, smallest rate first.
        n: number of defective pictures, at least 1.

    Returns:
        The rate; ``None`` if there are not two rates, or none of them finds anything.
    """
    if len(found) < 2 or not any(found.values()):
        return None
    suggested = min(found)
    most = found[suggested]
    for rate, next_rate in pairwise(found):
        if (found[next_rate] - most) / n >= LESS_THAN * math.log2(next_rate / rate):
            suggested = next_rate
        most = max(most, found[next_rate])
    return suggested


def list_defects(inspector: Inspector, data: PictureData, reporter: Reporter) -> list[DefectPicture]:
    """List the defective pictures of a folder or a list, and their products.

    Where folders or labels of a product say which pictures are good and which are defective, the good ones
    are left out. Elsewhere all pictures are defective. A folder or the list names the product.

    Args:
        inspector: the model.
        data: folder, also of a layout that ``fit`` would refuse, or list.
        reporter: takes a line on what was found.

    Raises:
        InputError: the folder or the list cannot be read, or holds no defective picture.
    """
    try:
        found = data if isinstance(data, PictureSet) else open_pictures(data)
    except InputError:
        if isinstance(data, PictureSet) or not exists(Path(data)) or not Path(data).is_dir():
            raise
        root, (pictures, n) = Path(data), _by_folders(inspector, Path(data))
    else:
        root, n = found.root, len(found.records)
        sorted_out = {record.category for record in found.records if not record.is_good}
        pictures = [
            DefectPicture(r.path, inspector.match_category(r.category))
            for r in found.records
            if not r.is_good or not (r.category in sorted_out or _said_good(r, root))
        ]
    if not pictures:
        raise InputError(f"{root} marks no picture as defective; name a folder or a list of defective ones")
    left_out = f"; {n - len(pictures)} others beside them are left out" if len(pictures) < n else ""
    reporter.say(f"{root}: {len(pictures)} defective pictures{left_out}")
    return pictures


def _said_good(record: Record, root: Path) -> bool:
    """Tell whether a list, or the name of a folder, says that a picture is good."""
    return not root.is_dir() or _has_good_name(record.path.parent, root)


def _has_good_name(folder: Path, root: Path) -> bool:
    words = words_of()
    return any(words.meaning(name) == "good" for name in folder.relative_to(root).parts)


def _by_folders(inspector: Inspector, root: Path) -> tuple[list[DefectPicture], int]:
    """List all pictures below a folder that are in no folder of masks or of a word for good; count all."""
    everything = [path for path in list_sources(root) if isinstance(path, Path)]
    pictures = []
    for path in everything:
        below = path.parent.relative_to(root).parts
        if _has_good_name(path.parent, root) or any(split_name(name) == "masks" for name in below):
            continue
        names = [inspector.match_category(name) for name in (root.resolve().name, *below)]
        pictures.append(DefectPicture(path, next((n for n in reversed(names) if n), None)))
    return pictures, len(everything)


def find_defects(inspector: Inspector, pictures: Sequence[DefectPicture], reporter: Reporter) -> DefectsFound:
    """Score defective pictures, and count those above the limits; a broken picture is left out by name.

    Args:
        inspector: calibrated model.
        pictures: defective pictures.
        reporter: takes progress.

    Raises:
        InputError: the model is not calibrated.
    """
    calibration, scorer = inspector.calibration, inspector.scorer
    if calibration is None:
        raise InputError("without thresholds nothing counts as found; calibrate the model first")
    seen = {*inspector.seen.trained, *inspector.seen.validation, *inspector.seen.held_out}
    found = dict.fromkeys((limits.rate for limits in calibration.rates), 0)
    verdicts: list[str | None] = []
    broken: list[str] = []
    unknown = known_before = 0
    scored = scorer.score([p.path for p in pictures], categories=[p.category for p in pictures])
    for done, (picture, result) in enumerate(zip(pictures, scored, strict=True), start=1):
        reporter.advance("defects", done, len(pictures), "")
        if isinstance(result, PictureError):
            broken.append(str(result))
            continue
        if math.isnan(result.score):
            broken.append(f"{picture.path} has a score that is not a number (NaN); train the model again")
            continue
        shown = picture.category or result.category or scorer.recognise(result.embedding)
        verdicts.append(judge(result.score, calibration, shown).verdict)
        unknown += shown is None
        known_before += result.digest in seen
        for limits in calibration.rates:
            found[limits.rate] += shown is not None and result.score > limits.of(shown)
    return DefectsFound(
        n=len(verdicts),
        failed=verdicts.count("FAIL"),
        reviewed=verdicts.count("REVIEW"),
        unknown=unknown,
        found=found,
        seen=known_before,
        broken=tuple(broken),
    )
