"""``understudy fit``: train a model on good pictures and calibrate it; options as in ``understudy.fit``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from understudy.cli.arguments import (
    DATA_KINDS,
    BadOption,
    GoodOption,
    LayoutOption,
    open_data,
    parse_folder,
    parse_named,
    parse_rate,
    split_names,
    split_numbers,
)
from understudy.errors import InputError, UnderstudyError
from understudy.progress import reporting
from understudy.train.options import FitOptions
from understudy.train.presets import PRESET_FIELDS
from understudy.types import LayoutChoice

__all__ = ["fit"]

_LISTS: dict[str, Callable[[str, str], object]] = {  # given as A,B,C
    "strides": split_numbers,
    "categories": split_names,
    "logger": split_names,
}
_ABSENT = {"settings", *PRESET_FIELDS}  # an option that is not typed is left to the preset
_TOGETHER = ("device", "devices", "nodes", "strategy")  # options that decide which processes run
_RATES = ("false_alarm_rate", "review_budget")
_DATA_OPTIONS = (("layout", LayoutOption, "auto"), ("good", GoodOption, None), ("bad", BadOption, None))


def fit(data: Path, out: Path, layout: LayoutChoice, good: str | None, bad: str | None, **typed: Any) -> None:
    """Train one model on the good pictures of all categories in DATA, and calibrate it."""
    import understudy
    from understudy.methods import parse_assignments
    from understudy.train.options import fit_options
    from understudy.train.processes import is_first_process, run_command

    typed["settings"] = parse_assignments(typed["settings"] or [])
    typed["workers"] = _count(typed["workers"])
    for name, split in _LISTS.items():
        typed[name] = None if typed[name] is None else split(typed[name], f"--{name}")
    asked = fit_options({name: typed[name] for name in _TOGETHER})
    if (code := run_command(asked, sys.argv[1:])) is not None:
        raise typer.Exit(code)
    first = is_first_process(asked)
    with reporting(first, plain_lines=True) as reporter, _stopping(out, first), _speaking():
        model = understudy.fit(open_data(data, layout, good, bad), out=out, progress=reporter, **typed)
        reporter.say(f"{out}: trained in {model.manifest.training.seconds:.0f} s")
        if model.thresholds is None:
            reporter.say(f"not calibrated yet: understudy calibrate {out} GOOD_PICTURES")


def _parameters() -> Iterator[inspect.Parameter]:
    """Yield the parameters of the command: DATA, MODEL, how DATA is read, and the fields of FitOptions."""
    yield _parameter(
        "data", Path, typer.Argument(metavar="DATA", parser=parse_named, help=f"A {DATA_KINDS}.")
    )
    yield _parameter(
        "out", Path, typer.Option(metavar="MODEL", parser=parse_folder, help="Folder for the model.")
    )
    for name, annotation, default in _DATA_OPTIONS:
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
    for name, field in FitOptions.model_fields.items():
        help_text = " ".join((field.description or "").replace("``", "").split())
        kind, flag, metavar = _typed(name, field)
        parser = parse_rate if name in _RATES else None
        option = typer.Option(flag, metavar=metavar, help=help_text, parser=parser)
        yield _parameter(name, kind, option, None if name in _ABSENT else field.get_default())


def _typed(name: str, field: FieldInfo) -> tuple[Any, str, str | None]:
    """Return the type, the flag and the metavar of an option on the command line."""
    flag = f"--{name.replace('_', '-')}"
    if name == "settings":
        return list[str] | None, "--set", "KEY=VALUE"
    if name in _LISTS:
        return str | None, flag, "A,B,C"
    if name in _RATES:
        return float, flag, "RATE"
    if name == "workers":
        return str | None, flag, "auto|N"
    kind: Any = field.annotation
    return kind | None if name in PRESET_FIELDS else kind, flag, None


def _parameter(name: str, kind: Any, typed: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """Return a keyword parameter that typer understands."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, typed], default=default
    )


fit.__signature__ = inspect.Signature(list(_parameters()))  # type: ignore[attr-defined]
fit.__annotations__ = {each.name: each.annotation for each in _parameters()}


@contextmanager
def _stopping(out: Path, first: bool) -> Iterator[None]:
    """Say on Ctrl-C whether the training can be resumed; one of several processes does."""
    from understudy.train.loop import checkpoint_file

    try:
        yield
    except KeyboardInterrupt:
        if first:
            kept = checkpoint_file(out).is_file()
            hint = "go on with --resume" if kept else "there was no checkpoint yet"
            typer.echo(f"understudy: stopped; {hint}", err=True)
        raise


@contextmanager
def _speaking() -> Iterator[None]:
    """Leave an error of the first of several processes to that one; any other is said where it is raised."""
    from understudy.train.processes import was_told_by_first

    try:
        yield
    except UnderstudyError as error:
        if was_told_by_first(error):
            raise typer.Exit(error.exit_code) from error
        raise


def _count(text: str | None) -> int | None:
    """Return a number of processes; ``None`` for ``auto``."""
    if text in (None, "auto"):
        return None
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"--workers takes auto or a number of processes, got {text!r}") from error
