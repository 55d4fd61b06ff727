"""Measure on good test pictures how much the categories of one model get in each other's way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from understudy.data.layouts import as_picture_set
from understudy.data.overview import announce
from understudy.data.records import PictureData, PictureSet
from understudy.errors import InputError, PictureError
from understudy.lab.diagnose.measure import Measured, Names, Score, compare, mean_nested, measure
from understudy.lab.diagnose.synthesis import LAMS, Trials, mix
from understudy.methods.saved import load_trained
from understudy.progress import Progress, reporting
from understudy.runtime.images import Mask, Picture
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import Manifest, holds_model, read_manifest
from understudy.runtime.sources import decode_ahead

__all__ = ["Diagnosis", "Example", "OneClassModels", "diagnose", "examples_of", "find_one_class"]


_LAM = 0.5  # weight of the first picture in a mix that is shown
_PAIRS_SHOWN = 3  # pairs shown of mixes and of pastes, those with the lowest AUROC


@dataclass(frozen=True)
class Example:
    """One mix or paste, to be shown.

    Attributes:
        title: what it is made of, such as ``cable + wood``.
        is_control: whether it is made of one category only.
        picture: (S, S, 3) uint8.
        mask: (S, S) bool, true on the patch; ``None`` for a mix.
        score: image-level anomaly score of the multi-class model.
        anomaly_map: (S, S) float32; larger is more abnormal.
    """

    title: str
    is_control: bool
    picture: Picture
    mask: Mask | None
    score: float
    anomaly_map: NDArray[np.float32]


def examples_of(score: Score, trials: Trials, measured: Measured) -> list[Example]:
    """Make one picture of each of the pairs with the lowest AUROC, followed by its control.

    Args:
        score: scores pictures with the multi-class model.
        trials: the good pictures, and how they are mixed and pasted.
        measured: figures of all pairs.
    """
    made: list[tuple[str, bool, Picture, Mask | None]] = []
    for m in sorted(measured.mixes, key=lambda m: m.auroc)[:_PAIRS_SHOWN]:
        for a, b in ((m.a, m.b), (m.a, m.a)):
            for i, j in trials.mixed_pairs(a, b)[:1]:
                mixed = mix(trials.good[a][i], trials.good[b][j], _LAM)
                made.append((f"{a} + {b}", a == b, np.rint(255 * mixed).astype(np.uint8), None))
    for p in sorted(measured.pastes, key=lambda p: p.auroc)[:_PAIRS_SHOWN]:
        drawn = trials.pastes(p.patch, p.background)[:1]
        control = trials.control_pastes(p.patch, p.background)[:1]
        for patch, pastes in ((p.patch, drawn), (p.background, control)):
            for picture in trials.pasted(pastes, patch, p.background):
                title = f"{patch} on {p.background}"
                made.append((title, patch == p.background, picture, pastes[0].place.mask(trials.side)))
    found = score(picture for _, _, picture, _ in made)
    return [Example(*one, *result) for one, result in zip(made, found, strict=True)]


@dataclass(frozen=True)
class OneClassModels:
    """Models of one category each, opened one at a time.

    Attributes:
        folder: holds one model a category, in ``folder/<category>``.
        manifests: category -> manifest of its model.
    """

    folder: Path
    manifests: dict[str, Manifest]

    def open(self, category: str, device: torch.device) -> Inspector:
        """Load the model of one category, to score on a device."""
        return load_trained(self.folder / category, device, calibrated=False)[1]


def find_one_class(folder: Path, categories: Sequence[str], like: Inspector) -> OneClassModels:
    """Find the model of every category in ``folder/<category>``, and check that it can be compared.

    Args:
        folder: holds the models.
        categories: categories that need a model.
        like: the multi-class model; teacher and image size must be the same.

    Raises:
        InputError: a model is missing, was not trained on its category only, or has another teacher or image
            size.
        BundleError: a model is damaged.
    """
    missing = [c for c in categories if not holds_model(folder / c)]
    if missing:
        raise InputError(
            f"{folder} holds no one-class model of {', '.join(missing)}; train each with "
            f"understudy fit DATA --out {folder / missing[0]} --categories {missing[0]}"
        )
    manifests = {c: read_manifest(folder / c) for c in categories}
    for category, manifest in manifests.items():
        _check(folder / category, category, manifest, like.manifest)
    return OneClassModels(folder, manifests)


def _check(path: Path, category: str, manifest: Manifest, like: Manifest) -> None:
    trained = sorted(manifest.training.categories)
    if trained != [category]:
        raise InputError(
            f"{path} was trained on {', '.join(trained)}, not on {category} alone; "
            f"train it with --categories {category}"
        )
    if manifest.preprocess.pads:
        raise InputError(f"{path} cuts or pads its pictures; train it without --tile and --keep-aspect")
    side, wanted = manifest.preprocess.image_size, like.preprocess.image_size
    if side != wanted:
        raise InputError(
            f"{path} sees pictures of {side} pixels, the model to diagnose {wanted}; "
            f"train it with --image-size {wanted}"
        )
    own, other = manifest.teacher, like.teacher
    if (own.name, own.strides, own.sha256) != (other.name, other.strides, other.sha256):
        raise InputError(
            f"{path} has the teacher {own.name} with strides {_text(own.strides)}, the model to diagnose "
            f"{other.name} with {_text(other.strides)}; train it with the same teacher, weights and strides"
        )


def _text(strides: Sequence[int]) -> str:
    return ", ".join(map(str, strides))


DIAGNOSIS_SCHEMA = 1
FEWEST_PASTES = 4  # pastes of every ordered pair, at least, where all pairs are run


@dataclass(frozen=True)
class Diagnosis:
    """Results of both diagnostics, MixDiag and PasteDiag.

    Attributes:
        measured: scores and figures of every pair.
        examples: a few of the mixes and pastes.
        figures: content of ``diagnosis.json``.
    """

    measured: Measured
    examples: list[Example]
    figures: dict[str, Any]


def diagnose(
    model: Inspector,
    data: PictureData,
    *,
    one_class: str | Path | None = None,
    pairs: Sequence[Names] | None = None,
    pictures: int = 100,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress = True,
) -> Diagnosis:
    """Show a multi-class model mixtures of its categories, and measure whether it finds them abnormal.

    MixDiag blends good test pictures of two categories. PasteDiag pastes a patch of one category on a picture
    of another. A model whose categories interfere takes both for good pictures. Controls are made of one
    category only, because ghosting and the edges of a patch are abnormal in themselves.

    Args:
        model: a model trained on at least two categories.
        data: folder or list with good test pictures of these categories.
        one_class: folder of one-class models, ``one_class/<category>``, to compare with; none by default.
        pairs: pairs of categories to use; a patch of the first lands on the second. All pairs by default.
        pictures: number of mixes of each pair, and of pastes of each pair in ``pairs``. If all pairs are run,
            the pastes are spread over them, at least four a pair.
        seed: seed of all random draws, 0 or more.
        device: device for the one-class models; the processor by default.
        progress: see :data:`understudy.progress.Progress`.

    Returns:
        Scores and figures of every pair, with a few examples.

    Raises:
        InputError: model and data share fewer than two categories, a category has no good test pictures, a
            picture cannot be read, or a one-class model is missing or does not match the model.

    Reference:
        Figure 2 of "Structural Teacher-Student Normality Learning for Multi-Class Anomaly Detection
        and Localization", arXiv:2402.17091.
    """
    if pictures < 1 or seed < 0:
        raise InputError(f"pictures must be 1 or more and the seed 0 or more, got {pictures} and {seed}")
    if model.scorer.uses_valid_mask:
        raise InputError(
            "interference is diagnosed on whole pictures, stretched to squares, and this model cuts, pads or "
            "ignores a part of them; train one without --tile, --keep-aspect and --roi to diagnose"
        )
    found = as_picture_set(data)
    with reporting(progress) as reporter:
        announce(found, reporter.say)
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
        measured = measure(model.scorer.score_windows, trials, mix_pairs, paste_pairs, reporter.advance)
        examples = examples_of(model.scorer.score_windows, trials, measured)
        if others:
            known, place = others, device or torch.device("cpu")
            measured = compare(
                measured, lambda c: known.open(c, place).scorer.score_windows, trials, reporter.advance
            )
    return Diagnosis(measured, examples, _figures(model, trials, measured, others))


def _good_tests(model: Inspector, found: PictureSet, pairs: Sequence[Names] | None) -> dict[str, list[Path]]:
    """Category to diagnose -> its good test pictures."""
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
    """List the unordered pairs to mix and the ordered pairs to paste, each once."""
    if pairs is None:
        return list(combinations(categories, 2)), list(permutations(categories, 2))
    for a, b in pairs:
        if a == b:
            raise InputError(f"the pair {a}:{b} is one category; name two, the control is made anyway")
    if not pairs:
        raise InputError("no pair of categories is named; name one, or leave them out for all")
    return list(dict.fromkeys((min(p), max(p)) for p in pairs)), list(dict.fromkeys(pairs))


def _decode(model: Inspector, paths: list[Path]) -> Picture:
    """Files of N pictures -> (N, S, S, 3) uint8 at the size of the model."""
    decoded = []
    for result in decode_ahead(paths, model.scorer.preprocess):
        if isinstance(result, PictureError):
            raise result
        decoded.append(result.picture)
    return np.stack(decoded)


def _figures(
    model: Inspector, trials: Trials, measured: Measured, others: OneClassModels | None
) -> dict[str, Any]:
    """Content of ``diagnosis.json``."""
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
    """Unweighted mean of each figure, over the pairs that have it."""
    return {key: mean_nested([r[key] for r in results]) for key in keys}
