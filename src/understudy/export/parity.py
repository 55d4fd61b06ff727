"""How closely a graph follows the model that it was made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from understudy.progress import untimed
from understudy.runtime.decision import (
    Calibration,
    Prototypes,
    distances_to,
    judge,
    recognise,
    thresholds_for,
)
from understudy.runtime.graph import Answers, Network
from understudy.runtime.images import Picture
from understudy.runtime.manifest import ParityCard
from understudy.runtime.preprocess import Preprocess
from understudy.types import GraphPrecision, Verdict

__all__ = ["RANK_FLOOR", "TOLERANCE", "answers_of", "fault_of", "measure_parity", "statement"]


TOLERANCE = 1e-4
"""Largest error in float32, of maps and of scores, as a share of the maps' range: a hundredth of it was
measured for trained models, a fifth for small ones of random weights, whose maps hardly vary."""

RANK_FLOOR = 0.99
"""Least rank correlation of a bf16 or int8 graph's scores with the model's own.

In int8 0.998 and more was measured, and 0.985 where image AUROC had suffered.
"""

_FLAT = 1e-12  # range of maps that are constant


def answers_of(network: Network, preprocess: Preprocess, windows: Picture, batch_size: int) -> Answers:
    """What a network says of (n, S, S, 3 or 4) windows, a batch at a time."""
    batches = [
        network(*preprocess.inputs(windows[i : i + batch_size]), untimed)
        for i in range(0, len(windows), batch_size)
    ]
    return Answers(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))


def measure_parity(
    expected: Answers,
    found: Answers,
    prototypes: Prototypes,
    calibration: Calibration | None,
    *,
    runtime: str,
    source: str,
) -> ParityCard:
    """Compare what a model and its graph say of the same windows.

    Args:
        expected: by the model in torch.
        found: by the graph.
        prototypes: by which both recognise the category, which a verdict depends on.
        calibration: of the model; ``None`` leaves verdicts out.
        runtime: that ran the graph.
        source: where the windows come from.
    """
    span = max(float(np.ptp(expected.maps)), _FLAT)
    map_error, score_error = (
        float(np.abs(a - b).max()) for a, b in ((expected.maps, found.maps), (expected.scores, found.scores))
    )
    verdicts, at_threshold = None, 0
    if calibration:
        told = [
            ours == theirs
            for ours, theirs, is_near in zip(
                _verdicts(expected, prototypes, calibration),
                _verdicts(found, prototypes, calibration),
                _near_threshold(expected, prototypes, calibration, TOLERANCE * span),
                strict=True,
            )
            if not is_near
        ]
        verdicts, at_threshold = (sum(told), len(told) - sum(told)), len(expected.scores) - len(told)
    return ParityCard(
        runtime=runtime,
        source=source,
        windows=len(expected.scores),
        map_error=map_error,
        map_error_relative=map_error / span,
        score_error=score_error,
        score_error_relative=score_error / span,
        rank_correlation=_rank_correlation(expected.scores, found.scores),
        verdicts=verdicts,
        at_threshold=at_threshold,
    )


def fault_of(parity: ParityCard, precision: GraphPrecision) -> str | None:
    """Which rule a graph breaks, in words; ``None`` if it follows its model closely enough."""
    if precision != "float32":
        found = parity.rank_correlation
        if found is not None and found >= RANK_FLOOR:
            return None
        return f"the rank correlation of its scores is {found}, and {RANK_FLOOR} is the least allowed"
    for what, error in (("map", parity.map_error_relative), ("score", parity.score_error_relative)):
        if not error <= TOLERANCE:  # so that no number is a fault too
            return f"its {what} is off by {error:.2g} of the maps' range, and {TOLERANCE:g} is allowed"
    if parity.verdicts and parity.verdicts[1]:
        return f"{parity.verdicts[1]} of its verdicts are others"
    return None


def statement(parity: ParityCard) -> tuple[str, str]:
    """Both lines on what was measured."""
    ranks = "undefined" if parity.rank_correlation is None else f"{parity.rank_correlation:.4f}"
    figures = (
        f"{parity.runtime} against torch on {parity.windows} windows, {parity.source}: "
        f"map off by {parity.map_error:.2g} ({parity.map_error_relative:.2g} of its range), "
        f"score by {parity.score_error:.2g} ({parity.score_error_relative:.2g})"
    )
    if parity.verdicts is None:
        return figures, f"rank correlation of scores {ranks}; not calibrated, so no verdicts to compare"
    alike, others = parity.verdicts
    return (
        figures,
        f"rank correlation of scores {ranks}; verdicts alike {alike} of {alike + others}, "
        f"{parity.at_threshold} too near a threshold to compare",
    )


def _categories(answers: Answers, prototypes: Prototypes, calibration: Calibration) -> list[str | None]:
    return [recognise(distances_to(e, prototypes), calibration.distances) for e in answers.embeddings]


def _verdicts(answers: Answers, prototypes: Prototypes, calibration: Calibration) -> Iterator[Verdict | None]:
    shown = _categories(answers, prototypes, calibration)
    for score, category in zip(answers.scores, shown, strict=True):
        yield judge(float(score), calibration, category).verdict


def _near_threshold(
    answers: Answers, prototypes: Prototypes, calibration: Calibration, slack: float
) -> Iterator[bool]:
    """Of each window, whether an error that is allowed could change its verdict.

    A limit is the figure of one held-out picture, which is exactly there.
    """
    shown = _categories(answers, prototypes, calibration)
    for score, embedding, category in zip(answers.scores, answers.embeddings, shown, strict=True):
        own = thresholds_for(calibration, category)
        away = distances_to(embedding, prototypes)
        yield (
            min(abs(score - own.fail_above), abs(score - own.review_above)) <= slack
            or min(abs(d - calibration.distances.of(c)) for c, d in away.items()) <= TOLERANCE
        )


def _rank_correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float | None:
    """Spearman's; ``None`` where either is constant, or no number."""
    if not all(np.isfinite(x).all() and np.ptp(x) > 0 for x in (a, b)):
        return None
    return float(spearmanr(a, b).statistic)
