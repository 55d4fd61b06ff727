"""Full disks, two writers, damaged checkpoints: half a result is never whole."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robustness.damage import DAMAGES
from robustness.judge import Case, Kind, Ran, Trial, command
from robustness.kit import STEP, TINY_OPTIONS, Answer, linked_copy, replace_bytes
from robustness.stops import RATE, attempt, check_table, new_calibration, start


def damaged_checkpoint(case: Case) -> Trial:
    """A damaged state of an unfinished training: refused, or the usual model comes out."""
    rng, out = case.rng, case.place / "out"
    shutil.copytree(case.kit.unfinished, out)
    state = [p for p in out.rglob("*") if p.is_file() and p.stat().st_size and p.suffix == ".ckpt"]
    path = rng.choice(state)
    name = rng.choice((*["flip"] * 6, *DAMAGES, "delete", "none"))
    if name == "delete":
        path.unlink()
    elif name != "none":
        replace_bytes(path, DAMAGES[name](path.read_bytes(), rng))
    words = ["fit", case.kit.data, "--out", out, *TINY_OPTIONS, "--checkpoint-every", str(STEP), "--resume"]

    def wrong(ran: Ran) -> str | None:
        same = (out / "student.safetensors").read_bytes() == case.kit.student
        return None if same else "another student came out"

    return Trial(
        f"{name} in {path.name}", lambda: command(*words), wrong, writes=(out,), plain=name == "none"
    )


def _mount(folder: Path, size: int) -> None:
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
    subprocess.run(words, capture_output=True, check=True)


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=False)


def no_small_disk() -> str | None:
    """Say that this user may not mount a small disk; ``None`` if it may."""
    with tempfile.TemporaryDirectory() as place:
        try:
            _mount(Path(place), 64)
        except (OSError, subprocess.CalledProcessError):
            return "this user may not mount a small disk"
        _unmount(Path(place))
    return None


def full_disk(case: Case) -> Trial:
    """A disk without enough room: one sentence that says so, and nothing half left."""
    rng, kit = case.rng, case.kit
    disk, verb = case.place / "disk", rng.choice(("fit", "export", "predict", "evaluate", "calibrate"))
    small = rng.choice((16, 64, 256, 1024))
    size = {"fit": rng.randint(16, 24000), "export": rng.randint(16, 16000)}.get(verb, small)
    if verb == "calibrate":
        sizes = [path.stat().st_size for path in kit.models["exported"].iterdir()]
        size = sum(4 * -(-n // 4096) for n in sizes) + rng.choice((0, 4, 8, 12, 64))  # the model just fits in
    disk.mkdir()
    out = disk / "out"
    words = {
        "fit": ["fit", kit.data, "--out", out, *TINY_OPTIONS],
        "export": ["export", kit.models["model"], "--out", out],
        "predict": ["predict", kit.models["exported"], kit.data, "--out", out, "--heatmaps", "--masks"],
        "evaluate": ["evaluate", kit.models["exported"], kit.data, "--out", out],
        "calibrate": ["calibrate", out, kit.data, *RATE],
    }[verb]

    def act() -> Any:
        _mount(disk, size)
        try:
            if verb == "calibrate":
                try:
                    shutil.copytree(kit.models["exported"], out)
                except (OSError, shutil.Error):
                    return "the model did not fit"
            ran = command(*words)
            return ran, _left(case, verb, out, ran)
        finally:
            _unmount(disk)

    def wrong(answer: Any) -> str | None:
        return None if isinstance(answer, str) else answer[1]

    return Trial(f"{verb} on {size} KiB", act, wrong, writes=(disk,))


def _left(case: Case, verb: str, out: Path, ran: Ran) -> str | None:
    """Say what is wrong with what a command left on a disk that was, or was not, full."""
    kit = case.kit
    if "Traceback" in ran.err or "understudy: unexpected" in ran.err:
        return f"no sentence: {ran.err[-300:]}"
    names = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) if out.exists() else []
    if ran.code and not any("room" in line for line in ran.sentences):
        return f"the sentence does not name the missing room: {ran.err[-300:]}"
    if parts := [
        n for n in names if n.endswith(".tmp") or ".understudy-part" in n or ".understudy-draft" in n
    ]:
        return f"left over: {parts}"
    if verb in ("fit", "export"):
        shown = [n for n in names if not n.startswith(".understudy") and n != "training.jsonl"]
        if ran.code and shown:
            return f"left over: {shown}"
        met = attempt(out, kit.probe)
        expected = kit.answers["model" if verb == "fit" else "exported"]
        return None if met is None or met[:4] == expected[:4] else "half a model was loaded"
    if verb == "calibrate":
        usual = (kit.answers["exported"], new_calibration(kit, case.place / "undisturbed"))
        return None if attempt(out, kit.probe) in usual else "neither the old calibration nor the new one"
    if verb == "predict":
        return check_table(out, case) if out.exists() else None
    return f"left over: {names}" if ran.code and any("report" in n or "metrics" in n for n in names) else None


def two_writers(case: Case) -> Trial:
    """Two commands into one folder at once: one works, the other is told so; the model is the usual one."""
    kit, out = case.kit, case.place / "out"
    fit = ["fit", kit.data, "--out", out, *TINY_OPTIONS]
    second = case.rng.choice(("fit", "calibrate", "reader"))
    if second != "fit":
        linked_copy(kit.other, out)
        fit.append("--overwrite")
    old = attempt(out, kit.probe) if second != "fit" else None

    def act() -> str | None:
        first = start(case, fit)
        other: Callable[[], Ran | None] = start(case, fit).wait if second == "fit" else lambda: None
        if second == "calibrate":
            time.sleep(case.rng.uniform(0, 0.6))
            other = start(case, ["calibrate", out, kit.data, *RATE]).wait
        while second == "reader" and first.runs():
            met = attempt(out, kit.probe)
            if met not in (old, kit.answers["model"]):
                return f"a reader met neither the old nor the new model: {met and met.score}"
        ran, beside = first.wait(), other()
        met = attempt(out, kit.probe)
        if second == "fit":
            return _one_works(ran, beside) or _usual(met)
        if ran is None or ran.code:
            return f"fit failed beside {second}: {ran and ran.err[-300:]}"
        if beside and beside.code and not beside.sentences:
            return f"calibrate failed without a sentence: {beside.err[-300:]}"
        return _usual(met)

    def _usual(met: Answer | None) -> str | None:
        return (
            None
            if met is not None and met[:4] == kit.answers["model"][:4]
            else f"the model is another: {met and met.score}"
        )

    return Trial(f"fit and {second} at once", act, lambda error: error, writes=(out,))


def _one_works(first: Ran | None, second: Ran | None) -> str | None:
    if first is None or second is None:
        return "a process died"
    loser = first if first.code else second
    if sorted((first.code == 0, second.code == 0)) != [False, True] or len(loser.sentences) != 1:
        return f"exit codes {first.code} and {second.code}: {loser.err[-300:]}"
    told = ("process", "holds a trained model", "unfinished training")
    return None if any(word in loser.sentences[0] for word in told) else loser.sentences[0]


KINDS = (
    Kind("checkpoints", damaged_checkpoint, 4, seconds=60),
    Kind("full disks", full_disk, 3, most=50, seconds=60, least=3, missing=no_small_disk),
    Kind("two writers", two_writers, 1.2, most=20, seconds=120),
)
