"""What a reader needs to trust a figure and to get it again: model, data, software."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from understudy.conformal import promise
from understudy.methods import METHODS, settings_for
from understudy.model import TrainedModel
from understudy.runtime.bundle import Manifest

__all__ = ["provenance"]


def provenance(model: TrainedModel, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Facts by name, in words."""
    manifest, teacher = model.manifest, model.manifest.teacher
    return {
        "Method": f"{manifest.method}, {_settings(manifest)}",
        "Teacher": f"{teacher.name}, levels at strides {', '.join(map(str, teacher.strides))}; "
        f"weights: {teacher.origin}, SHA-256 {teacher.sha256}",
        "Training": _training(manifest),
        "Model": f"student, SHA-256 {manifest.files['student.safetensors']}",
        "Thresholds": _thresholds(model),
        "Test data": f"{metrics['data']['root']} ({metrics['data']['layout']})",
        "Comparison": _comparison(metrics),
        "Trained with": _versions(manifest.versions),
        "Evaluated with": _versions(metrics["versions"]),
    }


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _settings(manifest: Manifest) -> str:
    recipes = {str(name): recipe for name, recipe in METHODS[manifest.method].recipes.items()}
    recipe = recipes[manifest.training.recipe or "paper"]
    usual = settings_for(manifest.method, recipe.settings).model_dump(mode="json")
    own = [f"{key}={value}" for key, value in manifest.settings.items() if value != usual.get(key)]
    return f"settings {', '.join(own)}, else default ones" if own else "default settings"


def _training(manifest: Manifest) -> str:
    t = manifest.training
    optimiser = ", ".join(f"{key} {value}" for key, value in t.optimiser.items() if key != "name")
    balanced = ", every category equally often" if t.sampling == "balanced" else ""
    kept = "" if t.kept_step == t.steps else f", of which the student of step {t.kept_step} was kept"
    kept += ", statistics of its normalisation recomputed" if t.statistics == "recomputed" else ""
    kept += f", mean of its weights (decay {t.averaging:g})" if t.averaging else ""
    recipe = f", recipe {t.recipe}" if t.recipe else ""
    return (
        f"{sum(t.categories.values())} good pictures of {len(t.categories)} categories ({t.layout}) at "
        f"{manifest.preprocess.image_size} px{recipe}, {t.steps} steps of {t.batch_size}"
        f"{balanced}{kept}; "
        f"{t.optimiser['name']} ({optimiser}), seed {t.seed}, precision {t.precision} on {t.device}, "
        f"{t.seconds:.0f} s; {t.validation} pictures to validate with, {t.held_out} held out"
    )


def _thresholds(model: TrainedModel) -> str:
    calibration, t = model.calibration, model.thresholds
    if calibration is None or t is None:
        return "none: the model is not calibrated"
    return (
        f"FAIL above {t.fail_above:.6g}: {promise(t.n_good, t.false_alarm_rate)}. "
        f"REVIEW above {t.review_above:.6g}: {promise(t.n_good, t.review_rate, 'are no PASS')}. "
        f"Own thresholds: {', '.join(calibration.categories) or 'no category'}. Defects are marked above "
        f"{calibration.masks.overall:.6g}, in regions of {calibration.min_area} pixels of the map"
    )


def _comparison(metrics: Mapping[str, Any]) -> str:
    spro = metrics["spro_mode"]
    own = f"; AU-sPRO at the pictures' own size, {_mode(spro)}" if spro else ""
    return (
        f"maps with masks at {metrics['map_resolution']}, {_mode(metrics['pixel_mode'])}; AUPRO up to a "
        f"false-positive rate of {metrics['aupro_limit']:g}{own}"
    )


def _mode(mode: Mapping[str, Any]) -> str:
    form = "exactly" if mode["form"] == "exact" else f"from histograms of {mode['bins']} bins"
    return f"{mode['pixels']} pixels, {form}"
