"""Fill the report's template with an evaluation's figures, drawings and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from understudy.calibrate.conformal import good_pictures_needed, promise
from understudy.evaluate import Evaluation, Tested
from understudy.evaluate.report.charts import (
    HEIGHT,
    SIDE,
    WIDTH,
    Chart,
    chance_of,
    chart,
    lines_of,
    outcome_of,
)
from understudy.evaluate.report.gallery import galleries
from understudy.evaluate.report.tables import figure_table, kind_rows, spro_rows, worst_first
from understudy.files import writing
from understudy.methods import METHODS, settings_for
from understudy.runtime.decision import Thresholds
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import Manifest

__all__ = ["provenance", "write_page", "write_report"]


_DASH = "–"
_FILTERS: dict[str, Callable[[Any], str]] = {
    "percent": lambda v: _DASH if v is None else f"{100 * v:.1f}",
    "points": lambda v: _DASH if v is None else f"{100 * v:+.1f}",
    "plain": lambda v: _DASH if v is None else f"{v:.2f}",
    "words": lambda name: name.replace("_", " "),
}


def write_page(path: Path, template: str, **shown: Any) -> None:
    """Fill a template of this package and write it; figures that are ``None`` appear as a dash.

    Raises:
        WorkError: the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("understudy.evaluate.report", "."), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= _FILTERS
    page = environment.get_template(template).render(**shown)
    with writing(path):
        path.write_text(page, encoding="utf-8", errors="replace")


def provenance(model: Inspector, metrics: Mapping[str, Any]) -> dict[str, str]:
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


def _thresholds(model: Inspector) -> str:
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


_CHARTS = 24  # categories drawn
_ROWS = 400  # of a table, and lines of a list
_USUAL_RATE = 0.01  # of false alarms, in the advice how to calibrate


def write_report(path: Path, model: Inspector, evaluation: Evaluation, command: str | None = None) -> None:
    """Write one self-contained HTML file, below 15 MB whatever was evaluated.

    The pictures shown are read and scored once more.

    Args:
        path: of the file.
        model: that was evaluated.
        evaluation: what came of it.
        command: command line that repeats it, for the reader.

    Raises:
        WorkError: the file cannot be written.
    """
    metrics, tested = evaluation.metrics, evaluation.tested
    thresholds = model.thresholds if evaluation.thresholds else None
    outcome = outcome_of(tested)
    by_category: dict[str, list[Tested]] = {c: [] for c in worst_first(metrics)}
    for t in tested:
        by_category[t.record.category].append(t)
    limits, spro, mean_spro = spro_rows(metrics)
    write_page(
        path,
        "report.html.j2",
        metrics=metrics,
        manifest=model.manifest,
        thresholds=thresholds,
        outcome=outcome,
        outcomes={c: outcome_of(own) for c, own in by_category.items()},
        chance=chance_of(outcome.good.failed, _good_by_thresholds(evaluation)),
        usual_rate=_USUAL_RATE,
        pictures_needed=good_pictures_needed(_USUAL_RATE),
        table=figure_table(metrics),
        spro_limits=limits,
        spro=spro,
        mean_spro=mean_spro,
        charts=_charts(by_category, evaluation.thresholds),
        lines=lines_of(thresholds),
        size=(WIDTH, HEIGHT),
        side=SIDE,
        kinds=kind_rows(metrics),
        galleries=galleries(model, by_category),
        n_tested=len(tested),
        facts=provenance(model, metrics),
        command=command,
        most=_ROWS,
    )


def _charts(by_category: Mapping[str, Sequence[Tested]], thresholds: Mapping[str, Thresholds]) -> list[Chart]:
    """All pictures together where there are several categories, then the worst of them.

    Thresholds are drawn where they hold: among all pictures only if every category has the same.
    """
    drawn = [(c, own) for c, own in by_category.items() if own]
    charts = [chart(own, c, lines_of(thresholds.get(c))) for c, own in drawn[:_CHARTS]]
    if len(drawn) > 1:
        common = {thresholds.get(c) for c, _ in drawn}
        lines = lines_of(common.pop()) if len(common) == 1 else {}
        charts.insert(0, chart([t for _, own in drawn for t in own], "all together", lines))
    return charts


def _good_by_thresholds(evaluation: Evaluation) -> Counter[Thresholds]:
    """How many good pictures each thresholds have judged."""
    good = [t.record.category for t in evaluation.tested if t.record.is_good]
    return Counter(evaluation.thresholds[c] for c in good if c in evaluation.thresholds)
