"""Odd values for every option of every command, one after another."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from robustness.judge import Case, Kind, Ran, Trial, command
from robustness.kit import TINY_OPTIONS, linked_copy

VALUES = (
    "nan", "0", "-1", "1e-320", "1e9", "", "text", "inf", "-inf", "1e400", "1000000000", "9" * 40, "0.5", "1",
    " ", ",", "a,,b", "\u00bd", "/", "-", "0x10", "ü" * 300, "None", "[]", "a=b",
    "centers=nan", "centers=1e9",
)  # fmt: skip
NEVER_NUMBERS = frozenset(("nan", "", "text", " ", ",", "a,,b", "/", "-", "None", "[]", "a=b"))
_OUTPUTS = frozenset(("out", "public"))
LONGER = frozenset(("max_steps", "epochs"))  # a large number is a long run, and no fault


@lru_cache
def asked_values() -> Sequence[tuple[tuple[str, ...], str, bool, str]]:
    """Every verb and option, whether it takes a number, and every value."""
    return tuple(_asked_values())


def _asked_values() -> Iterator[tuple[tuple[str, ...], str, bool, str]]:
    import typer

    from understudy.cli.app import app

    for words, verb in _commands((), typer.main.get_command(app)):
        for parameter in verb.params:
            flags = getattr(parameter, "opts", [])
            if parameter.param_type_name != "option" or getattr(parameter, "is_flag", False):
                continue
            for value in VALUES:
                if parameter.name in LONGER and value in ("1000000000", "1e9"):
                    continue
                if words == ("demo",) and parameter.name == "out":  # it would run, for minutes
                    continue
                if value == "/" and parameter.name in _OUTPUTS and words not in (("fit",), ("export",)):
                    continue  # other verbs write beside the files of others
                yield words, flags[0], _is_number(parameter), value


def _is_number(parameter: Any) -> bool:
    described = getattr(parameter, "type_descriptor", None)  # of typer; older ones have click's type
    kind = getattr(described, "annotation", None) or getattr(parameter, "type", None)
    return any(word in repr(kind).lower() for word in ("'int'", "int |", "'float'", "float |", "range"))


def _commands(words: tuple[str, ...], group: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in getattr(group, "commands", {}).items():
        if getattr(each, "commands", None):
            yield from _commands((*words, name), each)
        else:
            yield (*words, name), each


def option(case: Case) -> Trial:
    """One option with an odd value: a sentence, or a run as if it were meant."""
    every = asked_values()
    words, flag, number, value = every[case.number * 7919 % len(every)]  # a prime: all come, in mixed order
    base = _base(case, words)
    given = [*words, *base, f"{flag}={value}" if flag.startswith("--") else flag]

    def wrong(ran: Ran) -> str | None:
        return f"{flag} took {value!r} for a number" if number and value in NEVER_NUMBERS else None

    note = f"{' '.join(words)} {flag}={value[:20]!r}"
    writes = tuple(case.place / name for name in ("out", "model", "data"))
    return Trial(note, lambda: command(*given), wrong, writes=writes)


def _base(case: Case, words: tuple[str, ...]) -> list[str]:
    """The arguments of a short run of a verb."""
    kit, place = case.kit, case.place
    out, exported = str(place / "out"), str(kit.models["exported"])
    data = str(kit.data)
    match words:
        case ("fit",):
            small = place / "data"
            shutil.copytree(kit.data / "nut" / "train", small / "nut" / "train")
            return [str(small), "--out", out, *TINY_OPTIONS]
        case ("calibrate",):
            model = linked_copy(kit.models["exported"], place / "model")
            return [str(model), data, "--false-alarm-rate", "0.2"]
        case ("predict",):
            return [exported, str(kit.probe)]
        case ("evaluate",):
            return [exported, data, "--out", out, "--categories", "nut"]
        case ("diagnose",):
            return [str(kit.models["model"]), data, "--out", out, "--pairs", "nut:linen", "--pictures", "2"]
        case ("export",):
            return [str(kit.models["exported"]), "--out", out]  # an exported model: refused before the work
        case ("sign",):
            return [str(linked_copy(kit.models["exported"], place / "model"))]
        case ("reproduce",):
            return ["rd", str(place / "absent"), "--out", out]
        case ("data", "inspect"):
            return [str(kit.data / "nut")]
        case ("data", "synthesize"):
            return [out, "--pictures", "1", "--size", "64"]
        case ("demo",):
            (place / "out").write_text("a file, so that a demo never begins")
            return ["--out", out]
    return []


KINDS = (Kind("options", option, 40, seconds=60),)
