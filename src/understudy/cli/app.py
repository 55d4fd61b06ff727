"""All verbs together, and exit codes.

0: done. 1: the work failed, or a picture could not be read. 2: bad arguments or input. 3: done, but the model
is not calibrated, so there are no verdicts. 130: stopped by Ctrl-C. 141: whoever read the output stopped.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import typer

from understudy.cli.arguments import DATA_KINDS
from understudy.cli.calibrate import calibrate
from understudy.cli.data import data_app
from understudy.cli.demo import demo
from understudy.cli.diagnose import diagnose
from understudy.cli.doctor import doctor
from understudy.cli.evaluate import evaluate
from understudy.cli.explain import explain
from understudy.cli.export import export
from understudy.cli.fit import fit
from understudy.cli.predict import predict
from understudy.cli.reproduce import reproduce
from understudy.cli.serve import serve
from understudy.cli.sign import sign
from understudy.cli.station import station_app
from understudy.errors import UnderstudyError, extra_needed

__all__ = ["app", "main"]

app = typer.Typer(
    name="understudy",
    help="Finds defects in pictures of products after seeing only good ones.",
    epilog=f"DATA is a {DATA_KINDS}. MODEL is the folder that fit writes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    demo,
    fit,
    calibrate,
    evaluate,
    predict,
    explain,
    diagnose,
    export,
    sign,
    reproduce,
    serve,
    doctor,
):
    app.command()(verb)
app.add_typer(data_app)
app.add_typer(station_app)

INTERRUPTED = 130
NO_READER = 141  # as a program that the signal SIGPIPE ends
_UsageError: Any = typer.BadParameter.__base__  # base class of the parser's errors; typer does not export it


def _show_version(asked: bool) -> None:
    if asked:
        import understudy

        print(f"understudy {understudy.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback if an error occurs."),
    version: bool = typer.Option(
        False, "--version", help="Print the version and stop.", is_eager=True, callback=_show_version
    ),
) -> None:
    """Finds defects in pictures of products after seeing only good ones."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: arguments without the program's name; those of the process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for file names that are no Unicode
    try:
        code = app([a for a in given if a != "--debug"], standalone_mode=False, prog_name="understudy")
        sys.stdout.flush()
        return int(code or 0)
    except BrokenPipeError:
        return _without_reader()
    except SystemExit as error:  # how typer and rich end at a closed pipe
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return _without_reader()
    except _UsageError as error:
        error.show()
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if debug or (error.name or "").startswith("understudy"):
            raise
        return _fail(extra_needed("train", f"this command (it uses {error.name})"), debug)
    except UnderstudyError as error:
        return _fail(error, debug)
    except Exception as error:  # a bug: still one line, and how to see more
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return _fail(UnderstudyError(f"unexpected {reason} (--debug shows where)"), debug, error)


def _without_reader() -> int:
    """Send what is still to be printed nowhere, so that it raises nothing when Python ends."""
    with suppress(OSError, ValueError):  # standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return NO_READER


def _fail(error: UnderstudyError, debug: bool, cause: Exception | None = None) -> int:
    if debug:
        traceback.print_exception(cause or error)
    else:
        print(f"understudy: {error}", file=sys.stderr)
    return error.exit_code
