"""Load the weights of a teacher: from an installed package, a file or the hub, or random ones if asked for.

Embedded teachers come as Python packages (:mod:`understudy.distill.embedded`). Only a teacher without a
package and without a file is downloaded.
Nothing is unpickled: files are safetensors, or are read by ``torch.load`` with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from understudy.distill.backbone import TEACHER_GROUP
from understudy.distill.embedded import EMBEDDED
from understudy.distill.teacher import Teacher
from understudy.distill.transformer import choose_blocks, fit_to_grid
from understudy.errors import InputError
from understudy.files import sha256_of
from understudy.types import EMBEDDED_TEACHER

__all__ = [
    "RANDOM",
    "Normalisation",
    "TeacherSource",
    "TeacherWeights",
    "architecture_of",
    "load_teacher",
    "normalisation_of",
    "register_teacher",
]


@dataclass(frozen=True)
class TeacherWeights:
    """A teacher of your own: a timm architecture and a file of weights.

    Attributes:
        architecture: timm name. Register an architecture of your own with ``timm.models.register_model`` in
            the module that holds this object.
        file: function that gives the path of a ``.safetensors`` or ``.pth`` file; its tensors have timm's
            names.
        sha256: hash of that file, in hexadecimal.
    """

    architecture: str
    file: Callable[[], Path]
    sha256: str


_TEACHERS: dict[str, TeacherWeights] = {}


def register_teacher(name: str, weights: TeacherWeights) -> None:
    """Register a teacher of your own in this process, under a name that ``fit`` takes.

    A package registers one for every process by an entry point in the group ``understudy.teachers``, whose
    object is a :class:`TeacherWeights`.

    Args:
        name: name of the teacher.
        weights: its architecture and its file.

    Raises:
        InputError: another teacher has that name.
    """
    if _TEACHERS.get(name, weights) is not weights or name in EMBEDDED:
        raise InputError(f"a teacher is named {name!r} already; choose another name")
    _TEACHERS[name] = weights


def _teacher_named(name: str) -> TeacherWeights | None:
    """Find a teacher that was registered here or by an installed package; ``None`` for any other name."""
    if name not in _TEACHERS:
        for brought in entry_points(group=TEACHER_GROUP, name=name):  # other packages are not imported
            if isinstance(found := brought.load(), TeacherWeights):
                _TEACHERS[name] = found
    return _TEACHERS.get(name)


def architecture_of(name: str) -> str:
    """Return the timm name of a teacher: a registered one has its own, any other is a timm name already."""
    registered = _teacher_named(name)
    return registered.architecture if registered else name


RANDOM = "random"
# Which weights a name without a tag means. The papers use torchvision's first ImageNet weights of ResNets.
# timm's default weights are newer.
_TAGS = dict.fromkeys(("resnet18", "resnet34", "resnet50", "wide_resnet50_2"), "tv_in1k")
_TAGS |= {name.partition(".")[0]: name.partition(".")[2] for name in EMBEDDED if "." in name}
_HUB_PATIENCE_S = 3.0  # how long to wait for the first answer of the hub

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, for pictures in [0, 1], as the teacher was trained."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class TeacherSource:
    """Where the weights of a teacher came from, in words, and their SHA-256, for the manifest."""

    origin: str
    sha256: str


def load_teacher(
    name: str, strides: tuple[int, ...], weights: str | None = None, image_size: int = 256
) -> tuple[Teacher, Normalisation, TeacherSource]:
    """Build a teacher and load its weights.

    Args:
        name: timm name, or name of a registered teacher. A ResNet of the papers without a tag gets
            torchvision's weights, as in the papers.
        strides: strides of the levels, finest first.
        weights: a ``.safetensors`` or ``.pth`` file, or ``"random"``. By default the weights come from a
            package if the teacher is registered or in :data:`EMBEDDED`, else from the hub.
        image_size: side of the square input in pixels.

    Returns:
        The teacher, how to normalise its input, and where its weights came from.

    Raises:
        InputError: the file is missing, damaged or of another architecture, or no file was named and the hub
            cannot be reached.
    """
    registered, name = _teacher_named(name), architecture_of(name)
    name = f"{name}.{_TAGS[name]}" if name in _TAGS else name
    teacher = Teacher(name, strides, image_size, choose_blocks(name, strides))
    if weights == RANDOM:
        return teacher, normalisation_of(name), TeacherSource(RANDOM, _digest(teacher))
    if weights is not None:
        path, origin = Path(weights), f"file {Path(weights).name}"
    elif registered:
        path, origin = registered.file(), "registered"
        if not path.is_file() or sha256_of(path) != registered.sha256:
            raise InputError(f"the registered teacher's file {path} is missing or altered; install it again")
    elif (packaged := EMBEDDED.get(name)) and (state := packaged.tensors(name)) is not None:
        _fill(teacher, state, f"of {packaged.package}")
        return teacher, normalisation_of(name), TeacherSource(packaged.origin, packaged.sha256)
    else:
        path, origin = _hub_file(name)
    _fill(teacher, read_state_dict(path), path)
    return teacher, normalisation_of(name), TeacherSource(origin, sha256_of(path))


def read_state_dict(path: Path) -> StateDict:
    """Read a safetensors or torch file of tensors; nothing else is unpickled.

    Raises:
        InputError: the file is missing or damaged, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"teacher weights {path} do not exist; name a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the unpickler raise anything
        reason = str(error).partition("\n")[0]
        raise InputError(f"teacher weights {path} cannot be read as tensors alone: {reason}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"teacher weights {path} hold no state dict of tensors")
    return dict(state)


def _fill(teacher: Teacher, state: StateDict, source: Path | str) -> None:
    """Load what the levels need; the rest, such as the classifier, is left out."""
    # timm wraps a network without stages as a whole, and its tensors keep their names in the wrapped one.
    network = getattr(teacher.backbone, "model", teacher.backbone)
    refused = f"teacher weights {source} do not fit {teacher.name}"
    try:
        state = fit_to_grid(state, network)
    except Exception as error:  # what is odd in a file can make timm raise anything
        reason = str(error).partition("\n")[0]
        raise InputError(f"{refused}: its position embeddings cannot be resampled ({reason})") from error
    wanted = network.state_dict()
    # Some timm wrappers flatten the names of modules: "layers.0.x" becomes "layers_0.x".
    by_flat_name = {_flat(key): value for key, value in state.items()}
    missing = [key for key in wanted if _flat(key) not in by_flat_name]
    if missing:
        raise InputError(
            f"{refused}: {len(missing)} of {len(wanted)} tensors are missing, first {missing[0]}"
        )
    chosen = {key: by_flat_name[_flat(key)] for key in wanted}
    for key, value in chosen.items():
        if value.shape != wanted[key].shape:
            raise InputError(f"{refused}: {key} is {tuple(value.shape)}, needed {tuple(wanted[key].shape)}")
    network.load_state_dict(chosen)


def _flat(key: str) -> str:
    return key.replace("_", ".")


def _hub_file(name: str) -> tuple[Path, str]:
    """Path of the hub's file for a timm model, and its origin in words; downloaded if it is not cached.

    Raises:
        InputError: timm names no weights, or the hub cannot be reached.
    """
    import huggingface_hub as hub

    config = timm.get_pretrained_cfg(name)
    repo = config.hf_hub_id if config is not None else None
    if repo is None:
        raise InputError(f"timm names no weights for {name}; give them with --teacher-weights FILE")
    if not isinstance(cached := hub.try_to_load_from_cache(repo, "model.safetensors"), str):
        way_out = f"use the embedded teacher (--teacher {EMBEDDED_TEACHER})"
        if name in EMBEDDED:
            way_out = f"install them: {EMBEDDED[name].install}"
        try:  # ask the hub once before: the download itself retries for most of a minute
            if hub.constants.HF_HUB_OFFLINE:
                raise ConnectionError("offline mode is set")
            hub.get_session().head(hub.constants.ENDPOINT, timeout=_HUB_PATIENCE_S)
            cached = hub.hf_hub_download(repo, "model.safetensors")
        except Exception as error:
            raise InputError(
                f"the weights of {name} are not on this machine and the hub did not give them "
                f"({type(error).__name__}); "
                f"give a file with --teacher-weights FILE, or {way_out}"
            ) from error
    return Path(cached), f"hub {repo}"


def normalisation_of(name: str) -> Normalisation:
    """Return how pictures are normalised for a timm model; for one that says nothing, to -1 to 1."""
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    (r, g, b), (sr, sg, sb) = config.mean, config.std
    return Normalisation((r, g, b), (sr, sg, sb))


def _digest(teacher: Teacher) -> str:
    """SHA-256 of the tensors of a teacher, for weights without a file."""
    total = hashlib.sha256()
    for value in teacher.state_dict().values():
        total.update(value.contiguous().numpy().tobytes())
    return total.hexdigest()
