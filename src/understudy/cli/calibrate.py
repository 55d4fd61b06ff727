"""``understudy calibrate``: set the thresholds from good pictures that the training has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.arguments import (
    BadOption,
    DataArgument,
    GoodOption,
    LayoutOption,
    ModelArgument,
    ProviderOption,
    SignatureOption,
    open_data,
    parse_named,
    parse_rate,
)
from understudy.cli.opening import open_inspector
from understudy.progress import reporting
from understudy.types import Basis

__all__ = ["calibrate"]


def calibrate(
    model: ModelArgument,
    data: DataArgument,
    false_alarm_rate: Annotated[
        float,
        typer.Option(
            metavar="RATE",
            parser=parse_rate,
            help="Largest share of good pictures that may FAIL, such as 0.01 or 1%.",
        ),
    ] = 0.01,
    review_budget: Annotated[
        float,
        typer.Option(
            metavar="RATE",
            parser=parse_rate,
            help="Share of good pictures that a person can look at: a REVIEW by its score, or a picture that "
            "looks like no known product.",
        ),
    ] = 0.05,
    min_area: Annotated[
        int, typer.Option(metavar="N", help="Smallest area of a marked defect, in pixels of the anomaly map.")
    ] = 16,
    basis: Annotated[
        Basis | None,
        typer.Option(
            help="Insist on a promise, or estimate from the same pictures, which finds more and promises "
            "nothing; by default a promise where there are enough pictures."
        ),
    ] = None,
    defects: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            parser=parse_named,
            help="Known defective pictures. Says how many are found at several rates of false alarms; no "
            "threshold depends on them.",
        ),
    ] = None,
    layout: LayoutOption = "auto",
    good: GoodOption = None,
    bad: BadOption = None,
    provider: ProviderOption = "cpu",
    require_signature: SignatureOption = None,
) -> None:
    """Set the thresholds of MODEL, for all categories and for each, from good pictures in DATA."""
    from understudy.calibrate.job import calibrate as calibrate_model

    with reporting(plain_lines=True) as reporter:
        calibrate_model(
            open_inspector(model, calibrated=False, require_signature=require_signature, provider=provider),
            open_data(data, layout, good, bad),
            false_alarm_rate=false_alarm_rate,
            review_budget=review_budget,
            min_area=min_area,
            basis=basis,
            defects=defects,
            progress=reporter,
        )
