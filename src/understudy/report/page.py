"""Fill the report's template with an evaluation's figures, drawings and pictures."""

from __future__ import annotations

from collections import Counter
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
from understudy.runtime.decision import Thresholds

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
