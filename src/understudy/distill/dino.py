"""ONNX graph with a DINOv2 backbone as its ``transformers`` export names it -> tensors with timm's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from understudy.errors import InputError, extra_needed

__all__ = ["convert"]

_Array = NDArray[np.float32]
_BEGIN = "backbone.embeddings."


def convert(content: bytes, name: str) -> dict[str, Tensor]:
    """Read the backbone out of an ONNX graph; its head is left out.

    Args:
        content: the ONNX file.
        name: timm name of the network, for errors.

    Raises:
        InputError: the package ``onnx`` is not installed, or the graph holds no such backbone.
    """
    try:
        import onnx
        from onnx.numpy_helper import to_array
    except ImportError as error:
        raise extra_needed("train", f"the embedded teacher {name}") from error
    try:
        graph = onnx.load_model_from_string(content).graph
        constants = {each.name: to_array(each) for each in graph.initializer}
        products = {node.name: node for node in graph.node if node.op_type == "MatMul"}
        found = {**_embeddings(constants), **_ends(constants)}
        for i in range(_depth(constants)):
            found |= _block(i, constants, products)
    except Exception as error:  # protobuf raises errors of its own for bytes that are no graph
        raise InputError(
            f"the graph of {name} holds no backbone of DINOv2 ({type(error).__name__}: {error}); "
            "give its weights with --teacher-weights FILE"
        ) from error
    return {key: torch.from_numpy(np.array(value, order="C")) for key, value in found.items()}


def _embeddings(constants: Mapping[str, _Array]) -> dict[str, _Array]:
    """Patch embedding, class token and position embeddings; the graph holds the class token's apart."""
    token = constants[_BEGIN + "cls_token"]
    positions = [
        value
        for key, value in constants.items()
        if value.shape[:1] + value.shape[2:] == (1, token.shape[2]) and key != _BEGIN + "cls_token"
    ]
    of_token, of_cells = sorted(positions, key=lambda value: value.shape[1])
    return {
        "cls_token": token,
        "pos_embed": np.concatenate([of_token, of_cells], axis=1),
        "patch_embed.proj.weight": constants[_BEGIN + "patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": constants[_BEGIN + "patch_embeddings.projection.bias"],
    }


def _ends(constants: Mapping[str, _Array]) -> dict[str, _Array]:
    return {f"norm.{part}": constants[f"backbone.layernorm.{part}"] for part in ("weight", "bias")}


def _depth(constants: Mapping[str, _Array]) -> int:
    return sum(key.startswith("backbone.encoder.layer.") and "norm1.weight" in key for key in constants)


def _block(i: int, constants: Mapping[str, _Array], products: Mapping[str, Any]) -> dict[str, _Array]:
    """One block. The exporter keeps weights of linear layers as unnamed constants of their products."""
    theirs, ours = f"backbone.encoder.layer.{i}.", f"blocks.{i}."

    def weight(layer: str) -> _Array:
        node = products[f"/backbone/encoder/layer.{i}/{layer}/MatMul"]
        return constants[next(each for each in node.input if each in constants)].T

    inner = ("query", "key", "value")
    found = {
        "attn.qkv.weight": np.concatenate([weight(f"attention/attention/{part}") for part in inner]),
        "attn.qkv.bias": np.concatenate(
            [constants[f"{theirs}attention.attention.{part}.bias"] for part in inner]
        ),
        "attn.proj.weight": weight("attention/output/dense"),
        "attn.proj.bias": constants[f"{theirs}attention.output.dense.bias"],
    }
    for k in (1, 2):
        found[f"mlp.fc{k}.weight"] = weight(f"mlp/fc{k}")
        found[f"mlp.fc{k}.bias"] = constants[f"{theirs}mlp.fc{k}.bias"]
        found[f"ls{k}.gamma"] = constants[f"{theirs}layer_scale{k}.lambda1"]
        for part in ("weight", "bias"):
            found[f"norm{k}.{part}"] = constants[f"{theirs}norm{k}.{part}"]
    return {ours + key: value for key, value in found.items()}
