"""The judge: what became of a case, from fine to a lost file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from understudy.errors import UnderstudyError

FINE, SENTENCE, TRACEBACK, HANG, WRONG, LOST = COLUMNS = (
    "fine",
    "one sentence",
    "traceback",
    "hang",
    "silently wrong",
    "lost file",
)
FAULTS = frozenset({TRACEBACK, HANG, WRONG, LOST})
UNCALIBRATED = 3  # exit code of predict whose model has no thresholds; its rows are right all the same


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code, standard output and the lines on stderr."""

    code: int
    out: str
    err: str

    @property
    def sentences(self) -> list[str]:
        """The lines that are errors; the others on stderr are progress."""
        return [line for line in self.err.splitlines() if line.startswith(("understudy: ", "Error: "))]


def right(_: Any) -> None:
    """The oracle of a case that has no answer to be compared."""


@dataclass(frozen=True)
class Trial:
    """One case, ready to run.

    Attributes:
        note: what is odd about the input, in words.
        act: runs a command or a function of the API, and returns its answer.
        wrong: answer of accepted input -> what is silently wrong about it, or ``None``.
        after: what is wrong with what was left behind, or ``None``; asked whatever became of the case.
        writes: files and folders that the case may write; all others must stay as they were.
        plain: whether the input is good, so that a refusal of it is a fault.
    """

    note: str
    act: Callable[[], Any]
    wrong: Callable[[Any], str | None] = right
    after: Callable[[], str | None] = lambda: None
    writes: tuple[Path, ...] = ()
    plain: bool = False


@dataclass(frozen=True)
class Case:
    """What a generator gets: random numbers of its own, the shared models, an empty folder, its number."""

    rng: Random
    kit: Any
    place: Path
    number: int


def nothing_missing() -> None:
    """The answer of a kind that runs on every machine."""


@dataclass(frozen=True)
class Kind:
    """A kind of cases.

    Attributes:
        name: name in the table.
        make: makes one case; all that it draws comes from the case's own random numbers.
        share: how many of a thousand cases are of this kind.
        most: number of different cases, if they are counted and not drawn.
        seconds: time limit of one case.
        least: number of cases in the shortest campaign.
        missing: says what this machine lacks for it, or ``None``.
    """

    name: str
    make: Callable[[Case], Trial]
    share: float
    most: int | None = None
    seconds: float = 30.0
    least: int = 1
    missing: Callable[[], str | None] = nothing_missing


@dataclass(frozen=True)
class Verdict:
    """The outcome of a case, what it was about, its seconds; ``noise`` is what libraries wrote on stderr."""

    kind: str
    number: int
    outcome: str
    note: str
    detail: str = ""
    noise: str = ""
    seconds: float = 0.0


def command(*words: str | Path) -> Ran:
    """Run one command of the command line in this process."""
    from understudy.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "strict", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([os.fsdecode(word) for word in words])
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
    texts = [stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err)]
    return Ran(code, *texts)


def judge(kind: str, number: int, make: Callable[[], Trial], place: Path) -> Verdict:
    """Run a case in its folder, and say what became of it."""
    try:
        trial = make()
    except Exception as error:
        raise RuntimeError(f"the generator of {kind} failed at case {number}") from error
    before = dict(_snapshot(place, trial.writes))
    outcome, detail = _outcome(trial)
    if outcome == SENTENCE and trial.plain:
        outcome, detail = WRONG, f"good input was refused: {detail}"
    if outcome not in FAULTS and (left := trial.after()):
        outcome, detail = WRONG, left
    now = dict(_snapshot(place, trial.writes))
    if lost := [str(path) for path, digest in before.items() if now.get(path) != digest]:
        outcome, detail = LOST, f"{', '.join(lost[:3])}; {detail}"
    return Verdict(kind, number, outcome, trial.note, detail)


def _outcome(trial: Trial) -> tuple[str, str]:
    try:
        answer = trial.act()
    except UnderstudyError as error:
        return _sentence(str(error))
    except Exception:
        return TRACEBACK, traceback.format_exc()
    if isinstance(answer, Ran):
        if "Traceback (most recent call last)" in answer.err or "understudy: unexpected " in answer.err:
            return TRACEBACK, answer.err
        if answer.code not in (0, UNCALIBRATED):
            found = answer.sentences
            return (SENTENCE, found[0]) if found else (TRACEBACK, f"exit code {answer.code}: {answer.err}")
    error = trial.wrong(answer)
    return (WRONG, error) if error else (FINE, "")


def _sentence(text: str) -> tuple[str, str]:
    whole = text.strip() and "\n" not in text.strip()
    return (SENTENCE, text) if whole else (TRACEBACK, f"the error is no sentence: {text!r}")


def _snapshot(place: Path, writes: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    """Yield every file below a folder with a digest of its content, links and fifos with their kind."""
    for folder, folders, names in os.walk(place):
        here = Path(folder)
        folders[:] = [name for name in folders if here / name not in writes]
        for name in (*names, *(f for f in folders if (here / f).is_symlink())):
            path = here / name
            if path in writes:
                continue
            if path.is_symlink():
                yield path, f"link to {path.readlink()}"
            elif path.is_file():
                yield path, hashlib.blake2b(path.read_bytes()).hexdigest()
            else:
                yield path, "no plain file"
