"""Measure how closely a graph agrees with the model that it was made from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from understudy.progress import untimed
from understudy.runtime.decision import distances_to, judge, thresholds_for
from understudy.runtime.graph import Answers, Network
from understudy.runtime.images import Mask, Picture
from understudy.runtime.manifest import ParityCard
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.scoring import Scorer
from understudy.types import GraphPrecision, Verdict

__all__ = ["RANK_FLOOR", "TOLERANCE", "answers_of", "fault_of", "measure_parity", "parity_statement"]


TOLERANCE = 1e-4
"""Largest error of maps and scores in float32, as a share of the range of the maps.

Trained models had a hundredth of it, small models of random weights, whose maps hardly vary, a fifth.
"""

RANK_FLOOR = 0.99
"""Lowest rank correlation that the scores of a bf16 or int8 graph may have with those of the model.

Graphs in int8 had 0.998 and more; one whose image AUROC had suffered had 0.985.
"""

_ONE_CELL = 0.1  # of a comparable score: rounding can move a cell that is as near to two codes
_FLAT = 1e-12  # smallest range of maps to divide by: constant maps have none


def answers_of(network: Network, preprocess: Preprocess, windows: Picture, batch_size: int) -> Answers:
    """(n, S, S, 3 or 4) uint8 windows -> what a network answers, computed a batch at a time."""
    batches = [
        network(*preprocess.inputs(windows[i : i + batch_size]), untimed)
        for i in range(0, len(windows), batch_size)
    ]
    return Answers(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))


def measure_parity(
    expected: Answers,
    found: Answers,
    scorer: Scorer,
    *,
    runtime: str,
    source: str,
    valid: Mask | None = None,
) -> ParityCard:
    """Compare the answers of a model and of its graph to the same windows.

    Errors and ranks are those of the maps and their maxima. Verdicts rest on the scores that decide.

    Args:
        expected: answers of the model in torch.
        found: answers of the graph.
        scorer: scorer of the model, by which both recognise, score and judge a window; without a calibration
            verdicts are left out.
        runtime: name and version of what ran the graph.
        source: where the windows come from, in words.
        valid: (n, S, S) mask, false where a pixel of a window does not count; ``None`` if all pixels count.
    """
    span = max(float(np.ptp(expected.maps)), _FLAT)
    map_error, score_error = (
        float(np.abs(a - b).max()) for a, b in ((expected.maps, found.maps), (expected.scores, found.scores))
    )
    verdicts, at_threshold = None, 0
    if scorer.calibration:
        alike = [
            ours == theirs
            for ours, theirs, is_near in zip(
                _verdicts(expected, scorer, valid),
                _verdicts(found, scorer, valid),
                _near_threshold(expected, scorer, valid, TOLERANCE * span),
                strict=True,
            )
            if not is_near
        ]
        verdicts, at_threshold = (sum(alike), len(alike) - sum(alike)), len(expected.scores) - len(alike)
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
    """Say which rule a graph breaks; ``None`` if it agrees closely enough with its model."""
    if precision != "float32":
        correlation = parity.rank_correlation
        if correlation is not None and correlation >= RANK_FLOOR:
            return None
        return f"the rank correlation of its scores is {correlation}, and {RANK_FLOOR} is the least allowed"
    for what, error in (("map", parity.map_error_relative), ("score", parity.score_error_relative)):
        if not error <= TOLERANCE:  # true for NaN too
            return f"its {what} is off by {error:.2g} of the maps' range, and {TOLERANCE:g} is allowed"
    if parity.verdicts and parity.verdicts[1]:
        return f"{parity.verdicts[1]} of its verdicts are others"
    return None


def parity_statement(parity: ParityCard) -> tuple[str, str]:
    """Describe in two lines what was measured."""
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


def _scores(answers: Answers, scorer: Scorer, valid: Mask | None) -> Iterator[float]:
    """Yield the score of each window that decides: comparable, its own, or the maximum of its map."""
    if not scorer.usual:
        yield from map(float, answers.scores if scorer.own_score else answers.maps.max((1, 2)))
        return
    side, composed = scorer.preprocess.image_size, answers.compositions
    for i, (anomaly_map, embedding) in enumerate(zip(answers.maps, answers.embeddings, strict=True)):
        usual = scorer.usual[scorer.nearest(embedding)]
        counts = None if valid is None else valid[i]
        yield usual.score(anomaly_map, counts, side, composed[i] if composed.size else None)


def _verdicts(answers: Answers, scorer: Scorer, valid: Mask | None) -> Iterator[Verdict | None]:
    for score, embedding in zip(_scores(answers, scorer, valid), answers.embeddings, strict=True):
        yield judge(score, scorer.calibration, scorer.recognise(embedding)).verdict


def _near_threshold(answers: Answers, scorer: Scorer, valid: Mask | None, slack: float) -> Iterator[bool]:
    """Say for each window whether an allowed error of its map, ``slack``, could change its verdict.

    This does happen: a threshold can be the score of one held-out picture, which lies exactly on it.
    """
    calibration = scorer.calibration
    assert calibration is not None
    for score, embedding in zip(_scores(answers, scorer, valid), answers.embeddings, strict=True):
        thresholds = thresholds_for(calibration, scorer.recognise(embedding))
        distances = distances_to(embedding, scorer.prototypes)
        allowed = slack
        if scorer.usual:
            usual = scorer.usual[scorer.nearest(embedding)]
            allowed = slack / (float(usual.spread.min()) * usual.scale)
            allowed += _ONE_CELL if usual.composition else 0.0
        yield (
            min(abs(score - thresholds.fail_above), abs(score - thresholds.review_above)) <= allowed
            or min(abs(d - calibration.distances.of(c)) for c, d in distances.items()) <= TOLERANCE
        )


def _rank_correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float | None:
    """Spearman's rank correlation, in [-1, 1]; ``None`` if either array is constant or not finite."""
    if not all(np.isfinite(x).all() and np.ptp(x) > 0 for x in (a, b)):
        return None
    return float(spearmanr(a, b).statistic)
