"""``understudy doctor``: what this machine has, what is missing, and what a training would choose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from understudy.errors import BundleError

__all__ = ["doctor", "examine"]

GIGABYTE = 2**30


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Say what this machine has, what is missing and how to get it, and what a training would choose.

    The exit code is 1 if pictures cannot be scored here, or if what is installed for training does not work.
    """
    from understudy.cli.evaluate import show_table

    found = examine()
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, value in _rows(found):
            table.add_row(name, Text(value))
        show_table(table)
        for problem in found["problems"]:
            print(f"problem: {problem}")
        print("this machine is ready" if found["ok"] else "this machine is not ready")
    if not found["ok"]:
        raise typer.Exit(1)


def examine() -> dict[str, Any]:
    """Return what this machine has, as ``understudy doctor --json`` prints it."""
    from understudy.runtime.budget import free_memory
    from understudy.runtime.machine import (
        installed_extras,
        installed_versions,
        instruction_sets,
        memory_bytes,
        processor_name,
    )
    from understudy.runtime.sources import usable_cores

    problems: list[str] = []
    extras = installed_extras()
    free = free_memory()
    found: dict[str, Any] = {
        "processor": {
            "name": processor_name(),
            "usable_cores": usable_cores(),
            "instruction_sets": instruction_sets(),
        },
        "memory": {"total": memory_bytes(), "free": None if free == float("inf") else int(free)},
        "versions": installed_versions(),
        "scoring": _scoring(problems),
        "training": _training(extras["train"], problems),
        "extras": extras,
        "cache": _cache(),
    }
    return {"ok": not problems, "problems": problems} | found


def _scoring(problems: list[str]) -> dict[str, Any] | None:
    """Return ONNX Runtime's version and providers; ``None`` if it does not work."""
    try:
        from understudy.runtime.providers import installed_providers, onnxruntime_version

        return {"onnxruntime": onnxruntime_version(), "providers": installed_providers()}
    except Exception as error:  # a broken library makes an import raise anything
        problems.append(
            f"ONNX Runtime cannot be used ({_reason(error)}); pip install --force-reinstall onnxruntime"
        )
        return None


def _training(installed: bool, problems: list[str]) -> dict[str, Any] | None:
    """Return what a training finds; ``None`` if the packages for it are not installed or do not work."""
    if not installed:
        return None
    from understudy.types import EMBEDDED_TEACHER

    try:
        from understudy.distill.readiness import find_readiness

        ready = find_readiness()
    except Exception as error:  # as above
        problems.append(f"what is installed for training cannot be used ({_reason(error)}); install it anew")
        return None
    if missing := ready.teachers[EMBEDDED_TEACHER]:
        problems.append(f"the weights of the default teacher are not installed; {missing}")
    return {
        "device": ready.device,
        "gpus": ready.gpus,
        "precision": ready.precision.precision,
        "milliseconds": ready.precision.milliseconds and dict(ready.precision.milliseconds),
        "teachers": ready.teachers,
    }


def _cache() -> dict[str, Any]:
    """Return the folder of converted weights and whether it can be written; a training works without it."""
    from understudy.files import cache_folder, check_writable

    try:
        folder = cache_folder("teachers")
    except RuntimeError:
        return {"folder": None, "writable": False, "reason": "the user has no home"}
    try:
        check_writable(folder)
    except BundleError as error:
        return {
            "folder": str(folder),
            "writable": False,
            "reason": getattr(error.__cause__, "strerror", None),
        }
    return {"folder": str(folder), "writable": True, "reason": None}


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table."""
    processor, memory, training = found["processor"], found["memory"], found["training"]
    yield "processor", f"{processor['name']}, {processor['usable_cores']} usable cores"
    yield "instructions", " ".join(processor["instruction_sets"]) or "the system does not tell"
    yield (
        "memory",
        ", ".join(
            f"{memory[what] / GIGABYTE:.1f} GiB {words}"
            for what, words in (("total", "in all"), ("free", "free"))
            if memory[what] is not None
        ),
    )
    yield "versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    if scoring := found["scoring"]:
        yield (
            "scoring",
            f"ONNX Runtime {scoring['onnxruntime']}; --provider {', '.join(scoring['providers'])}",
        )
    if training:
        yield "training", f"on {training['device']}; GPUs: {', '.join(training['gpus']) or 'none'}"
        yield "precision", _precision(training)
        offline = [name for name, missing in training["teachers"].items() if not missing]
        yield "teachers", f"without a network: {', '.join(offline) or 'none'}"
        for name, missing in training["teachers"].items():
            if missing:
                yield "", f"{name}: {missing}"
    else:
        yield "training", "not installed: pip install 'understudy[train]'"
    have, lack = ([e for e, there in found["extras"].items() if there is wanted] for wanted in (True, False))
    yield "extras", ", ".join(have) or "none"
    if lack:
        yield "", f"not installed: {', '.join(lack)}; pip install 'understudy[{lack[0]}]'"
    cache = found["cache"]
    state = "can be written" if cache["writable"] else f"cannot be written: {cache['reason']}"
    yield "cache", f"{cache['folder'] or 'none'}, {state}"


def _precision(training: dict[str, Any]) -> str:
    both = training["milliseconds"]
    if both is None:
        return f"{training['precision']} (not measured on a GPU)"
    return (
        f"{training['precision']}: layers take {both['32']:.1f} ms in float32, {both['bf16']:.1f} ms in bf16"
    )
