"""Fill the report's template with an evaluation's figures, drawings and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from understudy.conformal import good_pictures_needed
from understudy.evaluation import Evaluation, Tested
from understudy.model import TrainedModel
from understudy.report.charts import SIDE, Chart, chart, lines_of
from understudy.report.figures import figure_table, kind_rows, spro_rows, worst_first
from understudy.report.gallery import galleries
from understudy.report.histogram import HEIGHT, WIDTH
from understudy.report.outcome import chance_of, outcome_of
from understudy.report.provenance import provenance
from understudy.report.template import write_page

__all__ = ["write_report"]

_CHARTS = 24  # categories drawn
_ROWS = 400  # of a table, and lines of a list
_USUAL_RATE = 0.01  # of false alarms, in the advice how to calibrate


def write_report(path: Path, model: TrainedModel, evaluation: Evaluation, command: str | None = None) -> None:
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
    thresholds = model.thresholds if all(t.verdict for t in tested) else None
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
        chance=thresholds and chance_of(outcome.good.failed, outcome.good.n, thresholds),
        usual_rate=_USUAL_RATE,
        pictures_needed=good_pictures_needed(_USUAL_RATE),
        table=figure_table(metrics),
        spro_limits=limits,
        spro=spro,
        mean_spro=mean_spro,
        charts=_charts(by_category, lines_of(thresholds)),
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


def _charts(by_category: Mapping[str, Sequence[Tested]], lines: dict[str, float]) -> list[Chart]:
    """All pictures together where there are several categories, then the worst of them."""
    drawn = [(c, own) for c, own in by_category.items() if own]
    together = [t for _, own in drawn for t in own]
    shown = ([("all together", together)] if len(drawn) > 1 else []) + drawn[:_CHARTS]
    return [chart(own, label, lines) for label, own in shown]
