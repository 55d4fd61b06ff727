"""Every verb has the options of the Python function behind it: the same names, defaults and types.

Known differences stand in ``VERBS``, each with its reason; one that is no difference any more fails too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
import typer

from understudy import Inspector, PictureSet
from understudy.calibrate import calibrate
from understudy.cli.app import app
from understudy.cli.arguments import split_names, split_numbers
from understudy.cli.diagnose import parse_pairs
from understudy.evaluate import evaluate
from understudy.evaluate.explain import explain
from understudy.export import export
from understudy.lab.diagnose import diagnose
from understudy.lab.reproduce import reproduce
from understudy.runtime.signature import sign_model

MODEL = {"model": "a folder; it is opened before the function is called"}
INSPECTOR = {"inspector": "what MODEL was opened as"}
SIGNATURE = {"require_signature": "checked where MODEL is opened"}
RESULTS = {"out": "where the results are written; the function gives them back"}
DEVICE = {"device": "what MODEL is opened on"}
PROVIDER = {"provider": "what MODEL is opened with"}
PROGRESS = {"progress": "the command line always shows it"}
READING = dict.fromkeys(("layout", "good", "bad"), "how DATA is read, before the function is called")


@dataclass(frozen=True)
class Verb:
    """A function and in what the command line differs from it.

    Attributes:
        function: that the verb calls.
        other_name: its parameter for each that has another name on the command line.
        as_text: reads a parameter that is typed as text, such as ``A,B,C``.
        only_typed: what the function does not have, and why.
        only_python: what the command line does not have, and why.
    """

    function: Callable[..., Any]
    other_name: Mapping[str, str] = field(default_factory=dict)
    as_text: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    only_typed: Mapping[str, str] = field(default_factory=dict)
    only_python: Mapping[str, str] = field(default_factory=dict)


VERBS = {
    "calibrate": Verb(
        calibrate, only_typed=MODEL | PROVIDER | SIGNATURE | READING, only_python=INSPECTOR | PROGRESS
    ),
    "evaluate": Verb(
        evaluate,
        as_text={"categories": split_names},
        only_typed=MODEL
        | RESULTS
        | DEVICE
        | PROVIDER
        | SIGNATURE
        | READING
        | {"workers": "makes the function that scores"},
        only_python=INSPECTOR | PROGRESS | {"score": "--workers makes one"},
    ),
    "predict": Verb(
        Inspector.predict,
        other_name={"paths": "pictures"},  # a stream or an array cannot be typed
        as_text={"paths": list},
        only_typed=MODEL
        | RESULTS
        | DEVICE
        | PROVIDER
        | SIGNATURE
        | {
            "format_": "of the results' file",
            "heatmaps": "written beside the results",
            "masks": "written beside the results; the function's is defect_mask",
            "overwrite": "an earlier run's results",
            "profile": "the function takes a lap",
            "engine": "understudy.scale.lake.predict_lake is another function",
            "workers": "those of --engine ray",
        },
        only_python={"self": "what MODEL was opened as", "lap": "--profile gives one"},
    ),
    "diagnose": Verb(
        diagnose,
        as_text={"pairs": parse_pairs},
        only_typed=MODEL | RESULTS | DEVICE | SIGNATURE | READING,
        only_python={"model": "what MODEL was opened as", "device": "that of MODEL is taken"} | PROGRESS,
    ),
    "export": Verb(
        export,
        other_name={"format_": "format"},  # the name of a built-in function
        only_typed=READING | {"pyfunc": "understudy.scale.pyfunc.write_pyfunc is another function"},
        only_python=PROGRESS,
    ),
    "explain": Verb(
        explain,
        as_text={"pictures": list},
        only_typed=MODEL | RESULTS | DEVICE | SIGNATURE | READING | {"overwrite": "an earlier run's results"},
        only_python=INSPECTOR | PROGRESS | {"batch_size": "pictures to explain are few"},
    ),
    "sign": Verb(sign_model),
    "reproduce": Verb(
        reproduce,
        other_name={"table": "name"},  # TABLE in the help
        as_text={
            "seeds": lambda text: split_numbers(text, "--seeds"),
            "categories": split_names,
            "rows": split_names,
        },
        only_typed=READING,
        only_python=PROGRESS,
    ),
}
ELSEWHERE = {
    "fit": "its options are made of those of the function; tests of their own",
    "demo": "no function is behind it",
    "doctor": "no function is behind it",
    "data": "a group of verbs",
    "serve": "its options are those of StationOptions; tests of the station's pages compare them",
    "station": "a group of verbs",
}


def parameters(function: Callable[..., Any]) -> dict[str, tuple[object, object]]:
    """(type, default) of each parameter; a path as a default is its text."""
    hints, found = get_type_hints(function), inspect.signature(function).parameters
    defaults = {name: each.default for name, each in found.items()}
    return {n: (hints.get(n), str(d) if isinstance(d, Path) else d) for n, d in defaults.items()}


def plain(kind: object) -> object:
    """A type as the command line has it: what may be a path, a text or a set of pictures is a path there."""
    if get_origin(kind) in (Union, UnionType):
        kinds = {*get_args(kind)}
        return frozenset(kinds - {str, PictureSet} if Path in kinds else kinds)
    return frozenset({kind})


def verb_of(name: str) -> Callable[..., Any]:
    (found,) = (c.callback for c in app.registered_commands if c.callback and c.callback.__name__ == name)
    return found


def test_every_verb_is_compared_or_says_why_not() -> None:
    verbs = {command.callback.__name__ for command in app.registered_commands if command.callback}
    groups = {str(group.typer_instance.info.name) for group in app.registered_groups if group.typer_instance}
    assert verbs | groups == {*VERBS, *ELSEWHERE}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_and_its_function_have_the_same_names(name: str) -> None:
    verb = VERBS[name]
    typed, python = parameters(verb_of(name)), parameters(verb.function)
    assert [verb.other_name.get(n, n) for n in typed if n not in verb.only_typed] == [
        n for n in python if n not in verb.only_python
    ]


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_and_its_function_have_the_same_types_and_defaults(name: str) -> None:
    verb = VERBS[name]
    typed, python = parameters(verb_of(name)), parameters(verb.function)
    for own, (kind, default) in typed.items():
        if own in verb.only_typed:
            continue
        other_kind, other_default = python[verb.other_name.get(own, own)]
        if read := verb.as_text.get(own):
            assert default is inspect.Parameter.empty or read(default) == other_default, own
        else:
            assert (plain(kind), default) == (plain(other_kind), other_default), own


@pytest.mark.parametrize("name", VERBS)
def test_an_option_is_typed_as_the_functions_parameter_is_called(name: str) -> None:
    verb = VERBS[name]
    group: Any = typer.main.get_command(app)
    flags = {p.name: p.opts for p in group.commands[name].params if p.param_type_name == "option"}
    for own, opts in flags.items():
        if own != "help":
            called = verb.other_name.get(own, own).strip("_")
            assert opts == [f"--{called.replace('_', '-')}"]


@pytest.mark.parametrize("name", VERBS)
def test_every_known_difference_is_one(name: str) -> None:
    verb = VERBS[name]
    typed, python = parameters(verb_of(name)), parameters(verb.function)
    assert typed.keys() >= {*verb.only_typed, *verb.other_name, *verb.as_text}
    assert python.keys() >= {*verb.only_python, *verb.other_name.values()}
    for own in verb.only_typed.keys() & python.keys():  # of one name, and of two kinds
        assert own in verb.only_python
    for own in verb.as_text:
        kinds = plain(typed[own][0]), plain(python[verb.other_name.get(own, own)][0])
        assert kinds[0] != kinds[1]
    assert all(own != other for own, other in verb.other_name.items())


def test_a_drift_of_names_defaults_or_types_is_found() -> None:
    def one(a: Path, b: int = 1, c: Sequence[str] | None = None) -> None: ...
    def two(a: str | Path, b: int = 2, c: str | None = None) -> None: ...

    ours, theirs = parameters(one), parameters(two)
    assert plain(ours["a"][0]) == plain(theirs["a"][0])
    assert ours["b"] != theirs["b"]
    assert plain(ours["c"][0]) != plain(theirs["c"][0])
