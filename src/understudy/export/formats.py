"""Distiller -> graph files: ONNX in float32, ONNX in int8, and OpenVINO."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from understudy.distill.distiller import Distiller
from understudy.errors import InputError, WorkError
from understudy.runtime.graph import COMPOSITION, GRAPH_INPUTS, GRAPH_OUTPUTS

__all__ = ["OPSET", "quantise", "write_onnx", "write_openvino"]


OPSET = 18  # the opset that the exporter writes; it converts to later ones
_QUANTISED = ("Conv", "ConvTranspose")
_ROUNDING = ("QuantizeLinear", "DequantizeLinear")
_Array = NDArray[np.float32]


class _Inspection(nn.Module):
    """Images (B, 3, S, S) and valid pixels (B, 1, S, S) -> what :meth:`Distiller.inspect` says of each."""

    def __init__(self, distiller: Distiller) -> None:
        super().__init__()
        self.distiller = distiller

    def forward(self, images: Tensor, valid: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.distiller.inspect(images, valid=valid)


def write_onnx(distiller: Distiller, path: Path, image_size: int, valid: bool = False) -> None:
    """Write :meth:`Distiller.inspect` as an ONNX graph in float32, for batches of any size.

    Args:
        distiller: a trained distiller, on the processor.
        path: file to write; it holds the weights too, as long as they are smaller than 2 GB.
        image_size: side of the windows in pixels; the graph takes no other size.
        valid: whether the graph takes a mask of the valid pixels as a second input.

    Raises:
        InputError: the map needs a backward pass.
        WorkError: a part of the distiller, for example of an unusual teacher, has no counterpart in ONNX.
    """
    if hasattr(distiller.to_map, "of_images"):
        raise InputError(
            "the map of this model needs a backward pass, which no exported graph has; train it again with "
            "--set map=feature"
        )
    examples = [torch.zeros(2, channels, image_size, image_size) for channels in (3, 1)][: 1 + valid]
    names = GRAPH_INPUTS[: len(examples)]
    described = distiller.composition is not None and distiller.composition.filled
    batch = torch.export.Dim("batch")
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # The exporter warns that two inputs share the length of the batch. That is intended.
            warnings.filterwarnings("ignore", "# The axis name: batch will not be used", UserWarning)
            program = torch.onnx.export(
                _Inspection(distiller).eval(),
                tuple(examples),
                input_names=names,
                output_names=(*GRAPH_OUTPUTS, *((COMPOSITION,) if described else ())),
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=tuple({0: batch} for _ in names),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise WorkError(
            f"{distiller.teacher.name} and its student cannot be written as ONNX (--debug shows why); "
            "export a model of another teacher"
        ) from error
    assert program is not None
    _forget_origin(program.model)
    program.save(path)


def quantise(source: Path, target: Path, inputs: Iterable[tuple[_Array, _Array | None]]) -> None:
    """Turn the convolutions of the student into int8; inputs, outputs and everything else stay float32.

    The teacher stays in float32, because int8 would move its embeddings, by which products are recognised
    within calibrated limits. The map stays too, because it compares nearly equal numbers; see
    docs/decisions/0023.

    Args:
        source: ONNX file in float32.
        target: ONNX file to write, with quantising and dequantising nodes; OpenVINO reads it too.
        inputs: windows of good pictures, whose activations set the scales: a normalised image, (1, 3, S, S),
            and a mask of its valid pixels, (1, 1, S, S), or ``None`` if the graph takes no mask.

    Raises:
        InputError: the student has no convolution.
    """
    import onnx
    from onnxruntime import quantization as q

    model = onnx.load(source)
    q.quant_utils.add_pre_process_metadata(model)  # the exporter has folded constants and inferred shapes
    learned = [node.name for node in model.graph.node if _is_students(node)]
    if not learned:
        raise InputError("this student has no convolution to compute in int8; export it in float32 or bf16")
    q.quantize_static(
        model,
        target,
        _Reader(inputs),
        quant_format=q.QuantFormat.QDQ,
        op_types_to_quantize=_QUANTISED,
        nodes_to_quantize=learned,
        per_channel=True,
        activation_type=q.QuantType.QUInt8,
        weight_type=q.QuantType.QInt8,
    )
    rounded = onnx.load(target)
    _restore_float(rounded.graph, {*learned})
    onnx.save(rounded, target)


def write_openvino(source: Path, path: Path) -> None:
    """Write an ONNX graph as an OpenVINO ``.xml`` file, with the weights in a ``.bin`` file beside it."""
    import openvino

    openvino.save_model(openvino.Core().read_model(source), path, compress_to_fp16=False)


class _Reader:
    """Gives the quantiser one window at a time."""

    def __init__(self, inputs: Iterable[tuple[_Array, _Array | None]]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, _Array] | None:
        given = zip(GRAPH_INPUTS, next(self._inputs, ()), strict=False)
        return {name: array for name, array in given if array is not None} or None


def _is_students(node: Any) -> bool:
    """Whether a node is a convolution of the student; the exporter keeps the names of its weights."""
    return node.op_type in _QUANTISED and node.input[1].startswith("distiller.student.")


def _restore_float(graph: Any, quantised: set[str]) -> None:
    """Undo the rounding of inputs of float nodes, such as those of the map.

    The quantiser gives every node that reads a rounded tensor the rounded copy. Float nodes get the tensor
    itself back, and rounding nodes that nobody reads any more are removed.
    """
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.name in quantised or node.op_type in _ROUNDING:
            continue
        for i, name in enumerate(node.input):
            last = producers.get(name)
            first = producers.get(last.input[0]) if last and last.op_type == "DequantizeLinear" else None
            if first and first.op_type == "QuantizeLinear":
                node.input[i] = first.input[0]
    for kind in reversed(_ROUNDING):  # first the dequantising nodes, then the quantising ones before them
        used = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
        for node in [n for n in graph.node if n.op_type == kind and n.output[0] not in used]:
            graph.node.remove(node)


def _forget_origin(model: Any) -> None:
    """Drop the exporter's notes about each node: lines of source code, and paths of this machine."""
    for node in model.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
