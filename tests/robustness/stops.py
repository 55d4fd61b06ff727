"""Commands that are stopped at random moments: nothing half is ever taken for whole, and work goes on."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from robustness.judge import Case, Kind, Trial, command
from robustness.kit import STEP, TINY_OPTIONS, Answer, ask, linked_copy
from robustness.launcher import Started

RATE = ("--false-alarm-rate", "0.2")
USUAL = {"fit": 1.5, "calibrate": 0.4, "export": 3.0, "predict": 0.4}  # seconds of an undisturbed run
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def start(case: Case, words: Sequence[str | Path]) -> Started:
    """Start a command in a process of its own."""
    return case.kit.launcher.start(words, case.place.parent / f"answer-{time.monotonic_ns()}")


def _stopped(case: Case, verb: str, words: Sequence[str | Path]) -> str:
    """Start a command and stop it at a random moment; say how."""
    how, after = case.rng.choice(SIGNALS), case.rng.uniform(0, USUAL[verb])
    started = start(case, words)
    started.stop(how, after)
    started.wait()
    return f"{how.name} after {after:.2f} s"


def attempt(folder: Path, probe: Path) -> Answer | None:
    """What a model says; ``None`` if it is refused."""
    from understudy.errors import UnderstudyError

    try:
        return ask(folder, probe)
    except UnderstudyError:
        return None


def _must(*words: str | Path) -> None:
    ran = command(*words)
    if ran.code:
        raise AssertionError(f"the command after the stop failed: {ran.err[-500:]}")


def stopped_fit(case: Case) -> Trial:
    """A training that is stopped: the old model, the new one or none; then it goes on to the usual model."""
    kit, out = case.kit, case.place / "out"
    words = ["fit", kit.data, "--out", out, *TINY_OPTIONS, "--checkpoint-every", str(STEP)]
    old = kit.answers["exported"]._replace(score=1e9)  # which no model says
    over = case.rng.random() < 0.5
    if over:
        linked_copy(kit.other, out)
        old = ask(kit.other, kit.probe)

    def act() -> list[Any]:
        said = _stopped(case, "fit", [*words, *(["--overwrite"] if over else [])])
        met = attempt(out, kit.probe)
        resumed = command(*words, "--resume")
        if resumed.code:
            _must(*words, "--overwrite")
        elif over and met == old:
            return [said, met, kit.answers["model"]]  # there was nothing to resume, so the old model stays
        return [said, met, ask(out, kit.probe)]

    def wrong(answer: list[Any]) -> str | None:
        said, met, last = answer
        if met is None and over:
            return f"{said}: the old model was refused"
        if met is not None and met not in (old, kit.answers["model"]):
            return f"{said}: half a model was loaded"
        return None if last == kit.answers["model"] else f"{said}: the model after it is another"

    return Trial(f"fit{' --overwrite' if over else ''}", act, wrong, writes=(out,))


@lru_cache
def new_calibration(kit: Any, scratch: Path) -> Answer:
    """What the model says after an undisturbed calibration."""
    model = linked_copy(kit.models["exported"], scratch)
    _must("calibrate", model, kit.data, *RATE)
    answer = ask(model, kit.probe)
    shutil.rmtree(scratch)
    return answer


def stopped_calibrate(case: Case) -> Trial:
    """A calibration that is stopped: the old thresholds or the new ones; then the new ones."""
    kit, model = case.kit, linked_copy(case.kit.models["exported"], case.place / "model")
    old, new = kit.answers["exported"], new_calibration(kit, case.place / "undisturbed")
    words = ["calibrate", model, kit.data, *RATE]

    def act() -> list[Any]:
        said, met = _stopped(case, "calibrate", words), attempt(model, kit.probe)
        _must(*words)
        return [said, met, ask(model, kit.probe)]

    def wrong(answer: list[Any]) -> str | None:
        said, met, last = answer
        if met not in (old, new):
            return f"{said}: neither the old calibration nor the new one: {met and met.calibration}"
        return None if last == new else f"{said}: the calibration after it is another"

    return Trial("calibrate", act, wrong, writes=(model,))


def stopped_export(case: Case) -> Trial:
    """An export that is stopped: none or whole; then whole."""
    kit, out = case.kit, case.place / "out"
    words = ["export", kit.models["model"], "--data", kit.data, "--out", out]

    def act() -> list[Any]:
        said, met = _stopped(case, "export", words), attempt(out, kit.probe)
        if command(*words).code:
            _must(*words, "--overwrite")
        return [said, met, ask(out, kit.probe)]

    def wrong(answer: list[Any]) -> str | None:
        said, met, last = answer
        if met not in (None, kit.answers["exported"]):
            return f"{said}: half an export was loaded"
        return None if last == kit.answers["exported"] else f"{said}: the export after it is another"

    return Trial("export", act, wrong, writes=(out,))


def check_table(out: Path, case: Case, heatmaps: bool = True) -> str | None:
    """Say what is wrong with the rows and heat maps of a stopped prediction."""
    path = out / "predictions.jsonl"
    text = path.read_text() if path.is_file() else ""
    if text and not text.endswith("\n"):
        return f"the last row is cut: {text[-80:]!r}"
    for row in map(json.loads, text.splitlines()):
        if row["heatmap"] and not Path(row["heatmap"]).is_file():
            return f"a row names {row['heatmap']}, which is not there"
    for picture in out.rglob("*.png"):
        try:
            Image.open(picture).load()
        except OSError as error:
            return f"{picture} is cut: {error}"
    return None


def stopped_predict(case: Case) -> Trial:
    """A prediction that is stopped: whole rows and whole heat maps; then all of them."""
    kit, out = case.kit, case.place / "out"
    pictures = kit.data / "nut"
    words = ["predict", kit.models["exported"], pictures, "--out", out, "--heatmaps"]
    everything = len(list(pictures.rglob("*.png")))

    def act() -> str | None:
        said = _stopped(case, "predict", words)
        if (error := check_table(out, case)) is not None:
            return f"{said}: {error}"
        if command(*words).code:
            _must(*words, "--overwrite")
        rows = len((out / "predictions.jsonl").read_text().splitlines())
        maps = len(list((out / "heatmaps").iterdir()))
        return (
            None
            if rows == maps == everything
            else f"{said}: then {rows} rows, {maps} heat maps of {everything}"
        )

    return Trial("predict", act, lambda error: error, writes=(out,))


KINDS = (
    Kind("stopped fit", stopped_fit, 4.8, most=80, seconds=120, least=2),
    Kind("stopped calibrate", stopped_calibrate, 2.4, most=40, seconds=60),
    Kind("stopped export", stopped_export, 2.4, most=40, seconds=120),
    Kind("stopped predict", stopped_predict, 2.4, most=40, seconds=60),
)
