"""A trained model and good test pictures -> how much its categories get in each other's way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.folder import describe, open_pictures
from understudy.data.records import PictureSet
from understudy.diagnosis.examples import Example, examples_of
from understudy.diagnosis.figures import mean_of
from understudy.diagnosis.measure import Measured, Names, compare, measure
from understudy.diagnosis.one_class import OneClassModels, find_one_class
from understudy.diagnosis.synthesis import LAMS, Trials
from understudy.errors import InputError, PictureError
from understudy.model import TrainedModel
from understudy.reporter import Reporter
from understudy.runtime.decode import decode_ahead
from understudy.runtime.images import Picture

__all__ = ["Diagnosis", "diagnose"]

DIAGNOSIS_SCHEMA = 1
FEWEST_PASTES = 4  # of every ordered pair where all are run


@dataclass(frozen=True)
class Diagnosis:
    """Results of both diagnostics.

    Attributes:
        measured: scores and figures, pair by pair.
        examples: a few of the pictures that were made.
        figures: what ``diagnosis.json`` holds.
    """

    measured: Measured
    examples: list[Example]
    figures: dict[str, Any]


def diagnose(
    model: TrainedModel,
    data: str | Path,
    one_class: str | Path | None = None,
    pairs: Sequence[Names] | None = None,
    pictures: int = 100,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Diagnosis:
    """Show a multi-class model mixtures of its categories, and measure whether it finds them abnormal.

    MixDiag blends good test pictures of two categories; PasteDiag pastes a patch of one on another.
    A model in which categories interfere rebuilds both as if they were good. Controls are made of
    one category alone, since ghosting and the edges of a patch are abnormal in themselves.

    Args:
        model: trained on two categories at least.
        data: folder with good test pictures of them.
        one_class: folder of one-class models, FOLDER/<category>, for the interference index; see
            :func:`understudy.diagnosis.measure.compare`.
        pairs: pairs of categories; a patch of the first is pasted on the second. ``None`` for all.
        pictures: pairs of pictures mixed for each pair of categories, and pastes of each pair that is
            named. Where all are run, the pastes are spread over the ordered pairs, four each at least.
        seed: of every draw.
        reporter: where progress goes.

    Raises:
        InputError: the model does not know two of the folder's categories, a category has no good
            test pictures, one cannot be read, or a one-class model is missing or unlike the model.

    Reference:
        Figure 2 of "Structural Teacher-Student Normality Learning for Multi-Class Anomaly Detection
        and Localization", arXiv:2402.17091.
    """
    reporter = reporter or Reporter()
    if pictures < 1 or seed < 0:
        raise InputError(f"pictures must be 1 or more and the seed 0 or more, got {pictures} and {seed}")
    if model.takes_care:
        raise InputError(
            "interference is diagnosed on whole pictures, stretched to squares, and this model cuts, pads or "
            "ignores a part of them; train one without --tile, --keep-aspect and --roi to diagnose"
        )
    found = open_pictures(Path(data))
    reporter.say(describe(found))
    paths = _good_tests(model, found, pairs)
    mix_pairs, paste_pairs = _all_pairs(list(paths), pairs)
    others = find_one_class(Path(one_class), list(paths), model) if one_class else None
    good = {category: _decode(model, own) for category, own in paths.items()}
    n_pastes = pictures if pairs else max(FEWEST_PASTES, math.ceil(pictures / len(paste_pairs)))
    trials = Trials(good, seed, pictures, n_pastes)
    reporter.say(
        f"{sum(map(len, paths.values()))} good test pictures of {len(paths)} categories, "
        f"{len(mix_pairs)} pairs to mix, {len(paste_pairs)} to paste"
    )
    for category in (c for c, own in paths.items() if len(own) == 1):
        reporter.say(f"{category} has one good test picture, so its same-class controls are left out")
    measured = measure(model.score_windows, trials, mix_pairs, paste_pairs, reporter.advance)
    examples = examples_of(model.score_windows, trials, measured)
    if others:
        known = others
        measured = compare(measured, lambda c: known.open(c, model).score_windows, trials, reporter.advance)
    return Diagnosis(measured, examples, _figures(model, trials, measured, others))


def _good_tests(
    model: TrainedModel, found: PictureSet, pairs: Sequence[Names] | None
) -> dict[str, list[Path]]:
    """Good test pictures of each category to diagnose."""
    data, trained = found.root, model.manifest.training.categories
    known = [c for c in found.categories if c in trained]
    named = sorted({c for pair in pairs or () for c in pair})
    strange = [c for c in named if c not in known]
    if strange:
        raise InputError(
            f"{strange[0]!r} is no category that both {data} and the model know; "
            f"they share {', '.join(known) or 'none'}"
        )
    if len(known) < 2:
        raise InputError(
            f"interference is between two categories at least, and {data} has {len(known)} of those that "
            f"the model was trained on ({', '.join(trained)}); name a folder that holds more of them"
        )
    good: dict[str, list[Path]] = {c: [] for c in named or known}
    for r in found.records:
        if r.split == "test" and r.is_good and r.category in good:
            good[r.category].append(r.path)
    for category in (c for c, own in good.items() if not own):
        raise InputError(
            f"{data}: no good test pictures of {category!r} (they belong into {category}/test/good); "
            "add some, or name pairs of other categories"
        )
    return good


def _all_pairs(categories: list[str], pairs: Sequence[Names] | None) -> tuple[list[Names], list[Names]]:
    """Unordered pairs to mix and ordered pairs to paste, each once."""
    if pairs is None:
        return list(combinations(categories, 2)), list(permutations(categories, 2))
    for a, b in pairs:
        if a == b:
            raise InputError(f"the pair {a}:{b} is one category; name two, the control is made anyway")
    if not pairs:
        raise InputError("no pair of categories is named; name one, or leave them out for all")
    return list(dict.fromkeys((min(p), max(p)) for p in pairs)), list(dict.fromkeys(pairs))


def _decode(model: TrainedModel, paths: list[Path]) -> Picture:
    """Pictures of a category at the model's size, (N, S, S, 3) uint8."""
    decoded = []
    for result in decode_ahead(paths, model.preprocess):
        if isinstance(result, PictureError):
            raise result
        decoded.append(result.picture)
    return np.stack(decoded)


def _figures(
    model: TrainedModel, trials: Trials, measured: Measured, others: OneClassModels | None
) -> dict[str, Any]:
    mixes, pastes = [m.to_dict() for m in measured.mixes], [p.to_dict() for p in measured.pastes]
    manifest = model.manifest
    return {
        "schema": DIAGNOSIS_SCHEMA,
        "method": manifest.method,
        "teacher": manifest.teacher.name,
        "image_size": manifest.preprocess.image_size,
        "seed": trials.seed,
        "lams": list(LAMS),
        "categories": {c: {"n_good": len(own)} for c, own in trials.good.items()},
        "one_class": others and {c: m.method for c, m in others.manifests.items()},
        "mix": {"pairs": mixes, "mean": _mean(mixes, ("mixed", "same_class", "interference"))},
        "paste": {"pairs": pastes, "mean": _mean(pastes, ("pasted", "same_class", "interference"))},
    }


def _mean(results: list[dict[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    """Unweighted mean over the pairs that have a figure."""
    return {key: mean_of([r[key] for r in results]) for key in keys}
