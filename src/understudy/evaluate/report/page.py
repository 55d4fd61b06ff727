"""Write report.html: fill its template with figures, drawings, pictures and the model's provenance."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from understudy.calibrate.conformal import good_pictures_needed, promise
from understudy.data.weeks import Week, read_weeks
from understudy.errors import InputError
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
from understudy.evaluate.report.tables import figure_table, found_table, kind_rows, spro_rows, worst_first
from understudy.files import write_text
from understudy.methods import method_named, settings_for
from understudy.runtime.decision import Thresholds
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import Manifest

__all__ = ["provenance", "write_page", "write_report"]


_DASH = "–"
_FILTERS: dict[str, Callable[[Any], str]] = {
    "percent": lambda v: _DASH if v is None else f"{100 * v:.1f}",
    "points": lambda v: _DASH if v is None else f"{100 * v:+.1f}",
    "rate": lambda v: f"{100 * v:g}",
    "plain": lambda v: _DASH if v is None else f"{v:.2f}",
    "words": lambda name: name.replace("_", " "),
}


def write_page(path: Path, template: str, **shown: Any) -> None:
    """Fill a template of this package and write the page; a figure that is ``None`` appears as a dash.

    Args:
        path: file to write.
        template: file name of the template.
        shown: values that the template names.

    Raises:
        WorkError: the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("understudy.evaluate.report", "."), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= _FILTERS
    page = environment.get_template(template).render(**shown)
    write_text(path, page)


def provenance(model: Inspector, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Name -> fact about the model, the data and the software, in words.

    Args:
        model: the model that was evaluated.
        metrics: content of ``metrics.json``.
    """
    manifest, teacher = model.manifest, model.manifest.teacher
    return {
        "Method": manifest.method,
        "Recipe": _recipe(manifest),
        "Teacher": f"{teacher.name}, levels at strides {', '.join(map(str, teacher.strides))}; "
        f"weights: {teacher.origin}, SHA-256 {teacher.sha256}",
        "Training": _training(manifest),
        "Model": f"student, SHA-256 {manifest.student_sha256}",
        "Thresholds": _thresholds(model),
        "Test data": f"{metrics['data']['root']} ({metrics['data']['layout']})",
        "Comparison": _comparison(metrics),
        "Trained with": _versions(manifest.versions),
        "Evaluated with": _versions(metrics["versions"]),
    }


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


# What it means that a setting differs from the paper's, where its name does not say it.
_MEANINGS: dict[str, str] = {
    "anneal_structural_terms": "SNL's spatial and affinity terms are annealed: their weights fall to zero.",
    "affinity_map": "The affinity map has the weight {ours} in the anomaly map; the paper has {papers}.",
}


def _recipe(manifest: Manifest) -> str:
    """Name of the recipe, and every setting of the model that differs from the paper's recipe."""
    name = manifest.training.recipe or "not recorded"
    recipes = method_named(manifest.method).recipes
    ours, papers = (
        settings_for(manifest.method, values).model_dump(mode="json")
        for values in (manifest.settings, recipes["paper"].settings)
    )
    differing = [key for key, value in ours.items() if value != papers[key]]
    if not differing:
        return f"{name}; no setting differs from the paper's recipe"
    listed = ", ".join(f"{key}={_plain(ours[key])} (paper: {_plain(papers[key])})" for key in differing)
    meanings = [
        _MEANINGS[key].format(ours=_plain(ours[key]), papers=_plain(papers[key]))
        for key in differing
        if key in _MEANINGS
    ]
    return " ".join([f"{name}. Settings that differ from the paper's recipe: {listed}.", *meanings])


def _plain(value: object) -> str:
    """A setting's value as ``--set`` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _training(manifest: Manifest) -> str:
    t = manifest.training
    optimiser = ", ".join(f"{key} {value}" for key, value in t.optimiser.items() if key != "name")
    parts = [
        f"{sum(t.categories.values())} good pictures of {len(t.categories)} categories ({t.layout}) at "
        f"{manifest.preprocess.image_size} px, {t.steps} steps of {t.batch_size} pictures",
        *(["every category is shown equally often"] * (t.sampling == "balanced")),
        *([f"the student of step {t.kept_step} is kept"] * (t.kept_step != t.steps)),
        *([f"the student's weights are a running mean (decay {t.averaging:g})"] * bool(t.averaging)),
        *(["the student's batch-normalisation statistics are recomputed"] * (t.statistics == "recomputed")),
        f"{t.optimiser['name']} ({optimiser}), seed {t.seed}, precision {t.precision} on {t.device}, "
        f"{t.seconds:.0f} s",
        f"{t.validation} further pictures for validation, {t.held_out} held out",
    ]
    return "; ".join(parts)


def _thresholds(model: Inspector) -> str:
    calibration, t = model.calibration, model.thresholds
    if calibration is None or t is None:
        return "none: the model is not calibrated"
    fails = promise(t.n_good, t.false_alarm_rate)
    no_pass = promise(t.n_good, t.review_rate, "are no PASS")
    if t.basis == "estimated":
        fails, no_pass = (
            calibration.promise,
            f"about {100 * t.review_rate:.3g} % of good pictures are no PASS",
        )
    return (
        f"FAIL above {t.fail_above:.6g}: {fails}. "
        f"REVIEW above {t.review_above:.6g}: {no_pass}. "
        f"Categories with thresholds of their own: {', '.join(calibration.categories) or 'none'}. "
        f"A defect is marked where the map is above {calibration.masks.overall:.6g} in a region of at least "
        f"{calibration.min_area} map pixels"
    )


def _comparison(metrics: Mapping[str, Any]) -> str:
    size, spro = metrics["map_resolution"], metrics["spro_mode"]
    size = "the masks' own size" if size == "mask" else size
    au_spro = f"; AU-sPRO at the pictures' own size, {_mode(spro)}" if spro else ""
    return (
        f"maps and masks at {size}, {_mode(metrics['pixel_mode'])}; AUPRO up to a "
        f"false-positive rate of {metrics['aupro_limit']:g}{au_spro}"
    )


def _mode(mode: Mapping[str, Any]) -> str:
    """How pixels were counted, in words."""
    form = "exactly" if mode["form"] == "exact" else f"in histograms of {mode['bins']} bins"
    return f"{mode['pixels']} pixels counted {form}"


_CHARTS = 24  # categories drawn, at most
_ROWS = 400  # rows of a table and lines of a list, at most
_USUAL_RATE = 0.01  # false-alarm rate in the advice on how to calibrate


def write_report(path: Path, model: Inspector, evaluation: Evaluation, command: str | None = None) -> None:
    """Write the report as one self-contained HTML file, smaller than 15 MB for any data set.

    The pictures that it shows are read and scored once more.

    Args:
        path: file to write.
        model: the model that was evaluated.
        evaluation: the result of the evaluation.
        command: command line that repeats the evaluation, shown to the reader.

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
    weeks, no_weeks = _weeks(Path(metrics["data"]["root"]))
    write_page(
        path,
        "report.html.j2",
        metrics=metrics,
        manifest=model.manifest,
        thresholds=thresholds,
        outcome=outcome,
        outcomes={c: outcome_of(pictures) for c, pictures in by_category.items()},
        chance=chance_of(outcome.good.failed, _good_by_thresholds(evaluation)),
        usual_rate=_USUAL_RATE,
        pictures_needed=good_pictures_needed(_USUAL_RATE),
        found=found_table(metrics),
        weeks=weeks,
        no_weeks=no_weeks,
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


def _weeks(root: Path) -> tuple[list[Week], str | None]:
    """Return the weeks of an exported station, the last one first; or why they are not known."""
    try:
        return read_weeks(root)[::-1], None
    except InputError as error:  # the evaluation is done, and its report is wanted
        return [], str(error)


def _charts(by_category: Mapping[str, Sequence[Tested]], thresholds: Mapping[str, Thresholds]) -> list[Chart]:
    """Draw all pictures together if there are several categories, then the worst categories.

    The chart of all pictures shows thresholds only if they are the same for every category.
    """
    drawn = [(c, pictures) for c, pictures in by_category.items() if pictures]
    charts = [chart(pictures, c, lines_of(thresholds.get(c))) for c, pictures in drawn[:_CHARTS]]
    if len(drawn) > 1:
        common = {thresholds.get(c) for c, _ in drawn}
        lines = lines_of(common.pop()) if len(common) == 1 else {}
        charts.insert(0, chart([t for _, pictures in drawn for t in pictures], "all together", lines))
    return charts


def _good_by_thresholds(evaluation: Evaluation) -> Counter[Thresholds]:
    """Thresholds -> number of good pictures that they judged."""
    good = [t.record.category for t in evaluation.tested if t.record.is_good]
    return Counter(evaluation.thresholds[c] for c in good if c in evaluation.thresholds)
