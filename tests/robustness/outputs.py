"""Output folders that hold something, are none, or are the input itself; nothing of the user may be lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from robustness.judge import Case, Kind, Ran, Trial, command
from robustness.kit import TINY_OPTIONS, linked_copy

VERBS = ("fit", "export", "predict", "evaluate", "synthesize", "diagnose", "demo")
LOCK = ".understudy.lock"
STATES: dict[str, Callable[[Case, Path], Any]] = {}


def _state(function: Callable[[Case, Path], Any]) -> Callable[[Case, Path], Any]:
    STATES[function.__name__.strip("_").replace("_", " ")] = function
    return function


@_state
def _absent(case: Case, out: Path) -> Path:
    return out / "with" / "parents"


@_state
def _empty(case: Case, out: Path) -> Path:
    out.mkdir()
    return out


@_state
def _link_to_an_empty_folder(case: Case, out: Path) -> Path:
    (case.place / "elsewhere").mkdir()
    out.symlink_to(case.place / "elsewhere", target_is_directory=True)
    return out


@_state
def _foreign_files(case: Case, out: Path) -> Path:
    """Files of the user, some with names that the commands write."""
    out.mkdir()
    names = ("thesis.txt", "training/0.png", "evaluation/thesis.txt", "diagnosis/x.txt", "calibration.json")
    names += (
        "metrics.json",
        "report.html",
        "diagnosis.json",
        "predictions.jsonl",
        "heatmaps/00001-x.png",
        "model.onnx",
    )
    names += (
        "manifest.json",
        "student.safetensors",
        "pictures/0.png",
        "model/x",
        ".understudy-training/x",
        "masks/a.png",
    )
    for name in case.rng.sample(names, case.rng.randint(1, 4)):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("of the user")
    return out


@_state
def _foreign_manifest(case: Case, out: Path) -> Path:
    """A manifest that is not ours and names a file of the user; it must not be removed."""
    out.mkdir()
    (out / "thesis.txt").write_text("of the user")
    files = {"thesis.txt": "0", "../input/notes.txt": "0"}
    (out / "manifest.json").write_text(json.dumps({"bundle_schema": 5, "files": files}))
    return out


@_state
def _model_with_foreign_files(case: Case, out: Path) -> Path:
    linked_copy(case.kit.models[case.rng.choice(("model", "exported"))], out)
    for name in case.rng.sample(("thesis.txt", "evaluation/thesis.txt", "roi-9.png", "notes/a.txt"), 2):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("of the user")
    return out


@_state
def _file(case: Case, out: Path) -> Path:
    out.write_text("of the user")
    return out


@_state
def _below_a_file(case: Case, out: Path) -> Path:
    out.write_text("of the user")
    return out / "model"


@_state
def _link_to_nowhere(case: Case, out: Path) -> Path:
    out.symlink_to("nowhere")
    return out


@_state
def _the_data(case: Case, out: Path) -> Path:
    return case.place / "input"


@_state
def _above_the_data(case: Case, out: Path) -> Path:
    return case.place


@_state
def _among_the_data(case: Case, out: Path) -> Path:
    return case.place / "input" / case.rng.choice(("nut", "nut/train", "nut/train/good", "new"))


@_state
def _no_name(case: Case, out: Path) -> str:
    return case.rng.choice(("", " "))


@_state
def _long_name(case: Case, out: Path) -> Path:
    return case.place / ("a" * 300)


@_state
def _current_folder(case: Case, out: Path) -> str:
    return "."


@_state
def _system_folder(case: Case, out: Path) -> Path:
    return Path(case.rng.choice(("/proc/understudy", "/dev/null", "/dev/null/x", "/sys/x")))


MUST_WORK = ("absent", "empty", "link to an empty folder")


def output(case: Case) -> Trial:
    """One verb, and one state of its output folder."""
    rng = case.rng
    verb, state = rng.choice(VERBS), rng.choice(list(STATES))
    shutil.copytree(case.kit.data / "nut", case.place / "input" / "nut")
    (case.place / "input" / "notes.txt").write_text("of the user")
    out = STATES[state](case, case.place / "out")
    words = _words(case, verb)
    options = ["--overwrite"] if rng.random() < 0.4 and may_overwrite(verb) else []
    given = [*words, *([out] if verb == "synthesize" else ["--out", out]), *options]
    writes: tuple[Path, ...] = ()
    if state == "model with foreign files":  # the model may be replaced, the user's files may not
        ours = {p.name for p in case.kit.models["model"].iterdir()} | {"model.onnx"}
        writes = tuple(case.place / "out" / name for name in ours)

    def right_there(ran: Ran) -> str | None:
        if state not in MUST_WORK and not isinstance(out, str) and not Path(out).is_dir():
            return f"it worked, and {out} is no folder"
        return None

    note = f"{verb} into: {state}{' --overwrite' if options else ''}"
    return Trial(note, lambda: command(*given), right_there, writes=writes, plain=state in MUST_WORK)


def _words(case: Case, verb: str) -> list[str | Path]:
    data, models = case.place / "input", case.kit.models
    return {
        "fit": ["fit", data, *TINY_OPTIONS],
        "export": ["export", models["model"]],
        "predict": ["predict", models["exported"], data / "nut" / "test", "--heatmaps", "--masks"],
        "evaluate": ["evaluate", models["exported"], data],
        "synthesize": ["data", "synthesize", "--pictures", "1", "--size", "64"],
        "diagnose": ["diagnose", models["model"], case.kit.data, "--pairs", "nut:linen", "--pictures", "2"],
        "demo": ["demo", "--pictures", "10", "--max-steps", "1"],
    }[verb]


@lru_cache
def may_overwrite(verb: str) -> bool:
    """Whether a verb has an option to replace what an earlier run wrote."""
    return "--overwrite" in command(*(("data", verb) if verb == "synthesize" else (verb,)), "--help").out


def second_run(case: Case) -> Trial:
    """The same command twice, and a file of the user in between, which stays; results are whole."""
    rng = case.rng
    shutil.copytree(case.kit.data / "nut", case.place / "input" / "nut")
    verb, out = rng.choice(("predict", "evaluate", "fit")), case.place / "out"
    words = [*_words(case, verb), "--out", out]
    mine = out / rng.choice(("mine.txt", "heatmaps/mine.png", "evaluation/mine.txt"))
    asks = may_overwrite(verb)
    again = rng.random() < 0.5 or not asks

    def act() -> Any:
        first = command(*words)
        if first.code:
            return first, {}
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("of the user")
        before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != LOCK}
        return command(*words, *(["--overwrite"] if again and asks else [])), before

    def wrong(answer: Any) -> str | None:
        ran, before = answer
        if not before or (again and ran.code and mine.name not in ran.err):
            return f"refused: {ran.err[-300:]}"
        if not mine.is_file() or mine.read_text() != "of the user":
            return f"{mine.name} is gone"
        if "Traceback" in ran.err or "understudy: unexpected" in ran.err:
            return ran.err
        if not again and (not ran.code or any(p.read_bytes() != data for p, data in before.items())):
            return "the results of the first run were replaced unasked"
        return None

    note = f"{verb} twice{', --overwrite' if again else ''}, {mine.relative_to(out)} in between"
    return Trial(note, act, wrong, writes=(out,))


KINDS = (Kind("outputs", output, 30, seconds=60), Kind("second runs", second_run, 8, seconds=60))
