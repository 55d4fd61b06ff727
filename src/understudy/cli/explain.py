"""``understudy explain``: why pictures get their verdicts, as text and as a page."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from understudy.cli.arguments import (
    BadOption,
    DeviceOption,
    GoodOption,
    LayoutOption,
    ModelArgument,
    SignatureOption,
    open_data,
    parse_folder,
    parse_named,
)
from understudy.cli.opening import open_inspector
from understudy.cli.predict import NOT_CALIBRATED
from understudy.errors import InputError, extra_needed

if TYPE_CHECKING:
    from understudy.evaluate.explain import Explanation

__all__ = ["explain"]

PAGE = "explain.html"


def explain(
    model: ModelArgument,
    pictures: Annotated[
        list[Path],
        typer.Argument(metavar="PICTURE...", parser=parse_named, help="Pictures, or folders of pictures."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            parser=parse_named,
            help="Also show the nearest good picture of these, as for fit.",
        ),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Product that all pictures show; recognised for each picture by default."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=parse_folder,
            help="Also write explain.html, with pictures, into this folder.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the explain.html of an earlier run in DIR.")
    ] = False,
    layout: LayoutOption = "auto",
    good: GoodOption = None,
    bad: BadOption = None,
    device: DeviceOption = "auto",
    require_signature: SignatureOption = None,
) -> None:
    """Say of each picture why it gets its verdict.

    The product and how it is known, the place of the score among good pictures and its distance from the
    thresholds, the regions, and with --data the nearest good picture.
    """
    from understudy.evaluate.explain import explain as explain_pictures

    if out:
        _require_page(out, overwrite)
    inspector = open_inspector(model, device, require_signature=require_signature)
    found = open_data(data, layout, good, bad) if data else None
    explanations = _Printed(explain_pictures(inspector, pictures, data=found, category=category))
    if out:
        from understudy.evaluate.report.explanation import write_explanations
        from understudy.results import results_in

        with results_in(out, [PAGE]) as draft:
            write_explanations(draft / PAGE, inspector, explanations)
        print(f"wrote {out / PAGE}")
    else:
        for _ in explanations:
            pass
    if explanations.broken:
        raise typer.Exit(1)
    if inspector.calibration is None:
        raise typer.Exit(NOT_CALIBRATED)


def _require_page(out: Path, overwrite: bool) -> None:
    """Check that a page can be written, before any work is spent."""
    from understudy.folders import own_files

    if PAGE in own_files(out) and not overwrite:
        raise InputError(f"{out / PAGE} is of an earlier run; choose another --out, or --overwrite it")
    try:
        import understudy.evaluate.report.explanation  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("understudy"):
            raise
        raise extra_needed("train", "the page that --out asks for") from error


class _Printed:
    """Prints explanations as they are taken, and counts the pictures that cannot be read."""

    def __init__(self, explanations: Iterable[Explanation]) -> None:
        self.broken = 0
        self._explanations = explanations

    def __iter__(self) -> Iterator[Explanation]:
        from understudy.evaluate.reasons import reasons_for

        for each in self._explanations:
            if each.result.error is not None:
                self.broken += 1
                print(f"understudy: {each.result.error}", file=sys.stderr)
            else:
                print(each.result.path)
                for label, text in reasons_for(each):
                    print(f"  {label:<10}{text}")
                print(flush=True)
            yield each
