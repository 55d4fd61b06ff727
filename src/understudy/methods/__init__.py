"""Methods by name. Each is one file with one function that composes the parts of ``distill``.

A method of your own joins them by :func:`register_method`, or by an entry point of its package in the group
``understudy.methods`` whose object is a :class:`Method`. By an entry point it is known in every process, so a
saved model of it loads anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pydantic import BaseModel, ValidationError

from understudy.distill.codebook import Codebook
from understudy.distill.composition import Composition
from understudy.distill.distiller import Distiller
from understudy.distill.teacher import Teacher
from understudy.errors import InputError
from understudy.methods import dinomaly, dskd, mkd, rd, rdpp, snl, stpm, uniad, uninformed_students
from understudy.methods.recipe import Adam, AdamW, CodebookSettings, Recipe, Sgd, StableAdamW
from understudy.types import RecipeName

__all__ = [
    "METHODS",
    "Adam",
    "AdamW",
    "CodebookSettings",
    "Method",
    "Recipe",
    "Sgd",
    "StableAdamW",
    "build",
    "method_named",
    "parse_assignments",
    "register_method",
    "settings_for",
]

try:  # the faster twins of the equations; without them all is slower and the same
    import_module("understudy.kernels")
except ModuleNotFoundError as error:
    if error.name != "understudy.kernels":
        raise


@dataclass(frozen=True)
class Method:
    """What a method is made of.

    Attributes:
        settings: a pydantic model, frozen, that forbids unknown keys.
        compose: (teacher, settings) -> distiller with a fresh student.
        recipes: how it is trained, by name.
    """

    settings: type[BaseModel]
    compose: Callable[[Teacher, Any], Distiller]
    recipes: Mapping[RecipeName, Recipe]

    @classmethod
    def of(
        cls,
        settings: type[BaseModel],
        compose: Callable[[Teacher, Any], Distiller],
        paper: Recipe,
        tuned: Recipe | None = None,
    ) -> Method:
        """A method by its paper's recipe; where no tuned one is named, it is :meth:`Recipe.tuned` of that."""
        return cls(settings, compose, {"paper": paper, "tuned": tuned or paper.tuned()})


METHODS: dict[str, Method] = {
    "stpm": Method.of(stpm.StpmSettings, stpm.stpm, stpm.PAPER, stpm.TUNED),
    "rd": Method.of(rd.RdSettings, rd.rd, rd.PAPER, rd.TUNED),
    "snl-fd": Method.of(snl.SnlSettings, snl.snl_fd, snl.PAPER, snl.TUNED_FD),
    "snl-rd": Method.of(snl.SnlSettings, snl.snl_rd, snl.PAPER, snl.TUNED_RD),
    "dskd": Method.of(dskd.DskdSettings, dskd.dskd, dskd.PAPER, dskd.TUNED),
    "dinomaly": Method.of(dinomaly.DinomalySettings, dinomaly.dinomaly, dinomaly.PAPER, dinomaly.TUNED),
    "uniad": Method.of(uniad.UniadSettings, uniad.uniad, uniad.PAPER, uniad.TUNED),
    "mkd": Method.of(mkd.MkdSettings, mkd.mkd, mkd.PAPER, mkd.TUNED),
    "rdpp": Method.of(rdpp.RdppSettings, rdpp.rdpp, rdpp.PAPER, rdpp.TUNED),
    "uninformed-students": Method.of(
        uninformed_students.UninformedStudentsSettings,
        uninformed_students.uninformed_students,
        uninformed_students.PAPER,
        uninformed_students.TUNED,
    ),
}

_ENTRY_POINTS = "understudy.methods"


def register_method(name: str, method: Method) -> None:
    """Make a method of your own known in this process, under a name that ``fit`` and ``load`` take.

    Raises:
        InputError: another method has that name.
    """
    if METHODS.get(name, method) is not method:
        raise InputError(f"a method is named {name!r} already; choose another name")
    METHODS[name] = method


def method_named(name: str) -> Method:
    """One of :data:`METHODS`, or of the methods that installed packages bring.

    Raises:
        InputError: there is none of that name (those that there are are listed), or a package's entry point
            holds no method.
    """
    if name in METHODS:
        return METHODS[name]
    brought = entry_points(group=_ENTRY_POINTS)
    if name not in brought.names:
        there = ", ".join([*METHODS, *sorted(brought.names - METHODS.keys())])
        raise InputError(f"no method is named {name!r}; there are {there}")
    found = brought[name].load()
    if not isinstance(found, Method):
        raise InputError(
            f"the entry point {name!r} of group {_ENTRY_POINTS} is {type(found).__name__}, not an "
            "understudy.methods.Method; mend the package that brings it"
        )
    METHODS[name] = found
    return found


# Strides of the grids of codebook and composition, or the next coarser ones. A finer one costs much.
_BOOK_STRIDE, _COMPOSITION_STRIDE = 8, 16


def build(method: str, teacher: Teacher, settings: BaseModel) -> Distiller:
    """Compose a method around a teacher, with fresh student weights from torch's global seed.

    If the settings ask for a codebook or a composition, an empty one stands beside the student.
    """
    distiller = method_named(method).compose(teacher, settings)
    if isinstance(settings, CodebookSettings) and settings.codebook:
        distiller.codebook = Codebook(
            settings.codebook,
            _level_of(teacher, _BOOK_STRIDE),
            getattr(settings, "smoothing", 0.0),
            align_corners=getattr(distiller.to_map, "align_corners", True),
        )
    if isinstance(settings, CodebookSettings) and settings.logical:
        distiller.composition = Composition(_level_of(teacher, _COMPOSITION_STRIDE))
    return distiller


def _level_of(teacher: Teacher, stride: int) -> int:
    """Place of the finest level with this stride or a coarser one; the coarsest if all are finer."""
    coarse = [i for i, level in enumerate(teacher.levels) if level.stride >= stride]
    return coarse[0] if coarse else len(teacher.levels) - 1


def settings_for(method: str, values: Mapping[str, object] | None = None) -> BaseModel:
    """Validated settings of a method, defaults where nothing is given.

    Raises:
        InputError: an unknown method or setting (the known ones are listed), or a bad value.
    """
    model = method_named(method).settings
    try:
        return model.model_validate(dict(values or {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            raise InputError(f"{method} has no setting {key!r}; it has {known}") from error
        raise InputError(f"setting {key}={first['input']!r:.200} of {method}: {first['msg']}") from error


def parse_assignments(assignments: Sequence[str]) -> dict[str, object]:
    """``["centers=25", "cosine=global"]`` -> ``{"centers": 25, "cosine": "global"}``."""
    values: dict[str, object] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"a setting is given as key=value, got {text!r}")
        try:
            values[key] = json.loads(value)
        except (ValueError, RecursionError):
            values[key] = value
    return values
