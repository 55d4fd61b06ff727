"""``understudy calibrate``: good pictures that were not trained on -> thresholds."""

from __future__ import annotations

from typing import Annotated

import typer

from understudy.cli.arguments import DataArgument, ModelArgument
from understudy.cli.opening import open_inspector
from understudy.progress import reporting

__all__ = ["calibrate"]


def calibrate(
    model: ModelArgument,
    data: DataArgument,
    false_alarm_rate: Annotated[
        float, typer.Option(metavar="RATE", help="Good pictures that may FAIL, at most.")
    ] = 0.01,
    review_rate: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Good pictures that may not PASS; 5 x by default."),
    ] = None,
    unknown_rate: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Good pictures that may be taken for an unknown product."),
    ] = None,
    min_area: Annotated[
        int, typer.Option(metavar="N", help="Pixels of the map that a marked defect has at least.")
    ] = 16,
) -> None:
    """Set MODEL's thresholds, for all and per category, from good pictures of DATA that it never saw."""
    from understudy.calibrate.job import calibrate as calibrate_model

    with reporting(plain_lines=True) as reporter:
        calibrate_model(
            open_inspector(model, calibrated=False),
            data,
            false_alarm_rate=false_alarm_rate,
            review_rate=review_rate,
            unknown_rate=unknown_rate,
            min_area=min_area,
            progress=reporter,
        )
