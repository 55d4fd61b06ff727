"""A distiller -> graph files: ONNX, the same in int8, and OpenVINO."""

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
from understudy.errors import WorkError
from understudy.runtime.graph import GRAPH_INPUTS, GRAPH_OUTPUTS

__all__ = ["OPSET", "quantise", "write_onnx", "write_openvino"]


OPSET = 18  # what the exporter itself writes; later ones are converted from it
_QUANTISED = ("Conv", "ConvTranspose")
_ROUNDING = ("QuantizeLinear", "DequantizeLinear")
_Array = NDArray[np.float32]


class _Inspection(nn.Module):
    """(B, 3, S, S) images, and (B, 1, S, S) of which pixels count -> map, score and embedding."""

    def __init__(self, distiller: Distiller) -> None:
        super().__init__()
        self.distiller = distiller

    def forward(self, images: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        return self.distiller.inspect(images, valid=valid)


def write_onnx(distiller: Distiller, path: Path, image_size: int, valid: bool = False) -> None:
    """Write what :meth:`Distiller.inspect` computes, for batches of any size, in float32.

    Args:
        distiller: trained, on the processor.
        path: of the graph; its weights are in the same file as long as they are below 2 GB.
        image_size: side of the windows, which the graph keeps to.
        valid: whether the graph takes which pixels count.

    Raises:
        WorkError: a part of the distiller, such as an unusual teacher's, has no counterpart in ONNX.
    """
    examples = [torch.zeros(2, channels, image_size, image_size) for channels in (3, 1)][: 1 + valid]
    names = GRAPH_INPUTS[: len(examples)]
    batch = torch.export.Dim("batch")
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Said where two inputs share their batch's length, which is what is meant.
            warnings.filterwarnings("ignore", "# The axis name: batch will not be used", UserWarning)
            program = torch.onnx.export(
                _Inspection(distiller).eval(),
                tuple(examples),
                input_names=names,
                output_names=GRAPH_OUTPUTS,
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes={name: {0: batch} for name in names},
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
    """Turn the student's convolutions into int8; inputs, outputs and the rest stay float32.

    A teacher in int8 would move embeddings, by which products are recognised within calibrated limits, and
    what follows the features compares nearly equal numbers; see docs/decisions/0023.

    Args:
        source: ONNX in float32.
        target: ONNX with quantising and dequantising nodes, which OpenVINO reads too.
        inputs: of good pictures, whose activations set the scales: (1, 3, S, S) unit_vectors, and
            (1, 1, S, S) of which pixels count where the graph takes it.
    """
    import onnx
    from onnxruntime import quantization as q

    model = onnx.load(source)
    q.quant_utils.add_pre_process_metadata(model)  # the exporter has folded constants and inferred shapes
    learned = [node.name for node in model.graph.node if _is_students(node)]
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
    """Write an ONNX graph as OpenVINO's ``.xml``, with its weights in a ``.bin`` beside it."""
    import openvino

    openvino.save_model(openvino.Core().read_model(source), path, compress_to_fp16=False)


class _Reader:
    """Gives the quantiser a window at a time."""

    def __init__(self, inputs: Iterable[tuple[_Array, _Array | None]]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, _Array] | None:
        given = zip(GRAPH_INPUTS, next(self._inputs, ()), strict=False)
        return {name: array for name, array in given if array is not None} or None


def _is_students(node: Any) -> bool:
    """Whether a node is a convolution with weights of the student: the exporter keeps their names."""
    return node.op_type in _QUANTISED and node.input[1].startswith("distiller.student.")


def _restore_float(graph: Any, quantised: set[str]) -> None:
    """Give float nodes, such as the map's, the tensors themselves; the quantiser gives all rounded copies."""
    made = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.name in quantised or node.op_type in _ROUNDING:
            continue
        for i, name in enumerate(node.input):
            last = made.get(name)
            first = made.get(last.input[0]) if last and last.op_type == "DequantizeLinear" else None
            if first and first.op_type == "QuantizeLinear":
                node.input[i] = first.input[0]
    for kind in reversed(_ROUNDING):  # what nobody takes any more: each copy, then what it was made of
        taken = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
        for node in [n for n in graph.node if n.op_type == kind and n.output[0] not in taken]:
            graph.node.remove(node)


def _forget_origin(model: Any) -> None:
    """Drop what the exporter notes about each node: lines of source code and paths of this machine."""
    for node in model.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
