"""``understudy calibrate``: set the thresholds from good pictures that the training has not seen."""

from __future__ import annotations

from typing import Annotated

import typer

from understudy.cli.arguments import (
    BadOption,
    DataArgument,
    GoodOption,
    LayoutOption,
    ModelArgument,
    SignatureOption,
    open_data,
)
from understudy.cli.opening import open_inspector
from understudy.progress import reporting

__all__ = ["calibrate"]


def calibrate(
    model: ModelArgument,
    data: DataArgument,
    false_alarm_rate: Annotated[
        float, typer.Option(metavar="RATE", help="Largest share of good pictures that may FAIL.")
    ] = 0.01,
    review_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Largest share of good pictures that may not PASS; 5 times the false-alarm rate by default.",
        ),
    ] = None,
    unknown_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Largest share of good pictures that may be taken for an unknown product; "
            "the false-alarm rate by default.",
        ),
    ] = None,
    min_area: Annotated[
        int, typer.Option(metavar="N", help="Smallest area of a marked defect, in pixels of the anomaly map.")
    ] = 16,
    layout: LayoutOption = "auto",
    good: GoodOption = None,
    bad: BadOption = None,
    require_signature: SignatureOption = None,
) -> None:
    """Set the thresholds of MODEL, for all categories and for each, from good pictures in DATA."""
    from understudy.calibrate.job import calibrate as calibrate_model

    with reporting(plain_lines=True) as reporter:
        calibrate_model(
            open_inspector(model, calibrated=False, require_signature=require_signature),
            open_data(data, layout, good, bad),
            false_alarm_rate=false_alarm_rate,
            review_rate=review_rate,
            unknown_rate=unknown_rate,
            min_area=min_area,
            progress=reporter,
        )
