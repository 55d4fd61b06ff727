"""The Open Inference Protocol, version 2, over HTTP: messages in JSON and with binary tensors.

Pictures are one tensor ``pictures`` of datatype BYTES and shape [N]: the contents of N picture files. In JSON
they are base64. The outputs are listed in :data:`OUTPUTS`; all but ``map`` are sent unless others are asked
for. Source: the protocol's specification and its binary tensor data extension, as Triton's clients speak it.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from understudy.errors import InputError
from understudy.runtime.manifest import first_fault
from understudy.station.intake import LONGEST_TEXT

__all__ = ["HEADER", "INPUT", "OUTPUTS", "InferenceCall", "answer_infer", "model_metadata", "parse_infer"]

HEADER = "Inference-Header-Content-Length"
"""Header of a message whose JSON is followed by binary tensors; its value is the length of the JSON."""

INPUT = {"name": "pictures", "datatype": "BYTES", "shape": [-1]}
OUTPUTS: Mapping[str, dict[str, Any]] = {
    "score": {"name": "score", "datatype": "FP32", "shape": [-1]},
    "verdict": {"name": "verdict", "datatype": "BYTES", "shape": [-1]},
    "category": {"name": "category", "datatype": "BYTES", "shape": [-1]},
    "id": {"name": "id", "datatype": "BYTES", "shape": [-1]},
    "stored": {"name": "stored", "datatype": "BOOL", "shape": [-1]},
    "error": {"name": "error", "datatype": "BYTES", "shape": [-1]},
    "map": {"name": "map", "datatype": "FP32", "shape": [-1, -1, -1]},
}
"""Outputs by name. ``error`` is empty for a picture that was judged; else its score is NaN."""

MOST_JSON = 16 * 2**20
"""Most bytes of JSON in a call; parsing it takes many times as much memory."""

_MOST_NUMBERS = 2**20  # of one output in JSON

Outputs = Mapping[str, NDArray[np.generic] | Sequence[str]]
"""Values of the outputs: arrays, and texts for BYTES."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Tensor(_Model):
    name: str
    datatype: str = "BYTES"
    shape: tuple[int, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: list[Any] | None = None


class _Asked(_Model):
    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class _Request(_Model):
    id: str | None = Field(default=None, max_length=1000)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[_Tensor]
    outputs: list[_Asked] | None = None


@dataclass(frozen=True)
class InferenceCall:
    """What a client asks for.

    Attributes:
        id: the client's id of the call, which the answer repeats.
        pictures: contents of the picture files.
        outputs: names of the outputs that are asked for; whether each is to be binary.
        product: parameter ``product`` of the call; ``None`` to recognise it.
        job: parameter ``job``.
        client_id: parameter ``client_id``: a call that repeats it is not counted twice.
    """

    id: str | None
    pictures: list[bytes]
    outputs: dict[str, bool]
    product: str | None
    job: str | None
    client_id: str | None


def parse_infer(body: bytes, header_length: str | None) -> InferenceCall:
    """Read a request.

    Args:
        body: body of the call.
        header_length: value of :data:`HEADER`; ``None`` if the body is JSON alone.

    Raises:
        InputError: it is no request of this protocol, or asks for something that the model has not.
    """
    length = len(body)
    if header_length is not None:
        digits = header_length.isdecimal() and len(header_length) < 12
        if not digits or not 0 < int(header_length) <= length:
            raise InputError(f"{HEADER} is {header_length[:20]!r}, and the body has {length} bytes")
        length = int(header_length)
    if length > MOST_JSON:
        raise InputError(f"the JSON has {length} bytes, and the most is {MOST_JSON}; send binary tensor data")
    try:
        asked = _Request.model_validate(json.loads(body[:length]))
        (asked.id or "").encode()
    except (ValueError, RecursionError) as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else "it is no JSON"
        raise InputError(f"this is no request of the inference protocol: {fault}") from error
    if [tensor.name for tensor in asked.inputs] != [INPUT["name"]]:
        named = ", ".join(tensor.name[:50] for tensor in asked.inputs) or "none"
        raise InputError(f"the model takes one input, 'pictures', and the call has: {named}")
    pictures = _pictures(asked.inputs[0], memoryview(body)[length:])
    binary = bool(asked.parameters.get("binary_data_output", False))
    outputs = {o.name: bool(o.parameters.get("binary_data", binary)) for o in asked.outputs or ()}
    if unknown := sorted(set(outputs) - set(OUTPUTS)):
        raise InputError(f"the model has no output {unknown[0][:50]!r}; it has {', '.join(OUTPUTS)}")
    return InferenceCall(
        asked.id,
        pictures,
        outputs or {name: binary for name in OUTPUTS if name != "map"},
        _text(asked.parameters, "product"),
        _text(asked.parameters, "job"),
        _text(asked.parameters, "client_id"),
    )


def _text(parameters: Mapping[str, Any], name: str) -> str | None:
    value = parameters.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > LONGEST_TEXT):
        raise InputError(f"the parameter {name!r} is a text of at most {LONGEST_TEXT} letters")
    return value or None


def _pictures(tensor: _Tensor, rest: memoryview) -> list[bytes]:
    if tensor.datatype != "BYTES" or len(tensor.shape) not in (1, 2) or (tensor.shape[1:] not in ((), (1,))):
        raise InputError(
            f"'pictures' has datatype BYTES and shape [N], the contents of N picture files; the call has "
            f"{tensor.datatype[:10]} {list(tensor.shape)}"
        )
    size = tensor.parameters.get("binary_data_size")
    if size is not None:
        if not isinstance(size, int) or size != len(rest):
            raise InputError(f"binary_data_size is {size}, and {len(rest)} bytes follow the JSON")
        pictures = _split(rest)
    else:
        pictures = [_decoded(item) for item in tensor.data or ()]
    if len(pictures) != tensor.shape[0]:
        raise InputError(f"the shape says {tensor.shape[0]} pictures, and there are {len(pictures)}")
    if not pictures:
        raise InputError("the call has no picture")
    return pictures


def _split(data: memoryview) -> list[bytes]:
    """Split a BYTES tensor: each element is its length, 4 bytes little-endian, and its content."""
    elements, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            raise InputError("the binary tensor is cut short")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + length > len(data):
            raise InputError("the binary tensor is cut short")
        elements.append(bytes(data[at : at + length]))
        at += length
    return elements


def _decoded(item: Any) -> bytes:
    text = item.get("b64") if isinstance(item, dict) else item
    try:
        return base64.b64decode(text if isinstance(text, str) else "?", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("a picture in JSON is the base64 of its file; or send binary tensor data") from error


def answer_infer(call: InferenceCall, name: str, version: int, outputs: Outputs) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON if binary tensors follow it.

    Args:
        call: what was asked.
        name: name of the model.
        version: its version.
        outputs: values of at least the outputs that were asked for.
    """
    described, tensors = [], []
    for output, binary in call.outputs.items():
        values = outputs[output]
        shape = list(values.shape) if isinstance(values, np.ndarray) else [len(values)]
        tensor: dict[str, Any] = {**OUTPUTS[output], "shape": shape}
        if binary:
            data = _binary(values)
            tensor["parameters"] = {"binary_data_size": len(data)}
            tensors.append(data)
        else:
            tensor["data"] = _json_values(values)
        described.append(tensor)
    answer: dict[str, Any] = {"model_name": name, "model_version": str(version), "outputs": described}
    if call.id is not None:
        answer["id"] = call.id
    head = json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()
    return head + b"".join(tensors), len(head) if tensors else None


def _binary(values: NDArray[np.generic] | Sequence[str]) -> bytes:
    if isinstance(values, np.ndarray):
        little = values.dtype.newbyteorder("<")
        return values.astype(little).tobytes()
    encoded = [text.encode() for text in values]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


def _json_values(values: NDArray[np.generic] | Sequence[str]) -> list[Any]:
    if not isinstance(values, np.ndarray):
        return list(values)
    if values.size > _MOST_NUMBERS:
        raise InputError(f"an output has {values.size} numbers; ask for it as binary data")
    flat = values.ravel().tolist()
    return [None if isinstance(v, float) and not np.isfinite(v) else v for v in flat]  # JSON has no NaN


def model_metadata(name: str, versions: Sequence[int], method: str) -> dict[str, Any]:
    """Describe a model as ``GET /v2/models/NAME`` does."""
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": f"understudy_{method}",
        "inputs": [INPUT],
        "outputs": list(OUTPUTS.values()),
    }
