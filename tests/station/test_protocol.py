"""Messages of the inference protocol: what is read, what is refused with which sentence, what is written."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest

from understudy.errors import InputError
from understudy.station.protocol import OUTPUTS, answer_infer, model_metadata, parse_infer


def tensor_of(*pictures: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(p)) + p for p in pictures)


def request_of(data: bytes, shape: list[int], **more: object) -> tuple[bytes, str]:
    tensor = {"name": "pictures", "datatype": "BYTES", "shape": shape}
    tensor["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return head + data, str(len(head))


def test_binary_pictures_come_out_as_they_went_in() -> None:
    body, length = request_of(tensor_of(b"one", b"", b"three"), [3], id="7", parameters={"product": "nut"})
    call = parse_infer(body, length)
    assert call.pictures == [b"one", b"", b"three"]
    assert (call.id, call.product, call.job) == ("7", "nut", None)
    assert set(call.outputs) == set(OUTPUTS) - {"map"}
    assert not any(call.outputs.values())


@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: {"b64": text}])
def test_pictures_in_json_are_base64(wrap) -> None:  # type: ignore[no-untyped-def]
    data = [wrap(base64.b64encode(b"picture").decode())]
    body = json.dumps({"inputs": [{"name": "pictures", "datatype": "BYTES", "shape": [1], "data": data}]})
    assert parse_infer(body.encode(), None).pictures == [b"picture"]


def test_each_output_is_binary_or_json_as_asked() -> None:
    asked = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "verdict"}]
    body, length = request_of(tensor_of(b"a"), [1], outputs=asked)
    assert parse_infer(body, length).outputs == {"score": True, "verdict": False}
    body, length = request_of(tensor_of(b"a"), [1], outputs=asked, parameters={"binary_data_output": True})
    assert parse_infer(body, length).outputs == {"score": True, "verdict": True}


GOOD = {"name": "pictures", "datatype": "BYTES", "shape": [1], "data": ["YQ=="]}


@pytest.mark.parametrize(
    ("body", "length", "said"),
    [
        (b"{", None, "no JSON"),
        (b"[" * 100_000, None, "no JSON"),
        (b"[]", None, "no request of the inference protocol"),
        (b"{}", None, "inputs"),
        (b"{}", "3", "the body has 2 bytes"),
        (b"{}", "-1", "the body has 2 bytes"),
        (b"{}", "one", "the body has 2 bytes"),
        (json.dumps({"inputs": []}).encode(), None, "one input, 'pictures', and the call has: none"),
        (json.dumps({"inputs": [GOOD, GOOD]}).encode(), None, "the call has: pictures, pictures"),
        (json.dumps({"inputs": [{**GOOD, "name": "x"}]}).encode(), None, "the call has: x"),
        (json.dumps({"inputs": [{**GOOD, "datatype": "FP32"}]}).encode(), None, "datatype BYTES"),
        (json.dumps({"inputs": [{**GOOD, "shape": [2]}]}).encode(), None, "says 2 pictures, and there are 1"),
        (json.dumps({"inputs": [{**GOOD, "shape": []}]}).encode(), None, "shape"),
        (json.dumps({"inputs": [{**GOOD, "shape": [0], "data": []}]}).encode(), None, "no picture"),
        (json.dumps({"inputs": [{**GOOD, "data": ["%%"]}]}).encode(), None, "base64"),
        (json.dumps({"inputs": [{**GOOD, "data": [3]}]}).encode(), None, "base64"),
        (json.dumps({"inputs": [GOOD], "outputs": [{"name": "y"}]}).encode(), None, "no output 'y'"),
        (json.dumps({"inputs": [GOOD], "parameters": {"product": 3}}).encode(), None, "'product' is a text"),
        (
            json.dumps({"inputs": [GOOD], "parameters": {"job": "x" * 201}}).encode(),
            None,
            "at most 200 letters",
        ),
        (json.dumps({"inputs": [GOOD], "id": "\ud800"}).encode(), None, "no request of"),
        (b"{}", "9" * 5000, "the body has 2 bytes"),
        (b" " * (16 * 2**20 + 1), None, "send binary tensor data"),
        (*request_of(b"\x05\x00\x00\x00abc", [1]), "cut short"),
        (*request_of(b"\x05\x00", [1]), "cut short"),
        (request_of(tensor_of(b"a"), [1])[0] + b"x", request_of(tensor_of(b"a"), [1])[1], "bytes follow"),
    ],
)
def test_a_bad_request_gets_a_sentence(body: bytes, length: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse_infer(body, length)
    assert len(str(caught.value)) < 300


def test_binary_outputs_follow_the_json_in_order() -> None:
    asked = [{"name": n, "parameters": {"binary_data": True}} for n in ("verdict", "score", "stored", "map")]
    body, length = request_of(tensor_of(b"a", b"b"), [2], outputs=asked, id="x")
    maps = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    values = {
        "score": np.array([1.5, np.nan], np.float32),
        "verdict": ["FAIL", "über"],
        "stored": np.array([True, False]),
        "map": maps,
    }
    answer, head = answer_infer(parse_infer(body, length), "m", 3, values)
    said = json.loads(answer[:head])
    assert (said["model_name"], said["model_version"], said["id"]) == ("m", "3", "x")
    assert [each["shape"] for each in said["outputs"]] == [[2], [2], [2], [2, 2, 2]]
    rest = answer[head:]
    sizes = [each["parameters"]["binary_data_size"] for each in said["outputs"]]
    assert sum(sizes) == len(rest)
    assert rest[: sizes[0]] == tensor_of(b"FAIL", "über".encode())
    scores = np.frombuffer(rest[sizes[0] : sizes[0] + 8], "<f4")
    assert scores[0] == 1.5
    assert np.isnan(scores[1])
    assert rest[sizes[0] + 8 : sizes[0] + 10] == b"\x01\x00"
    assert np.array_equal(np.frombuffer(rest[-32:], "<f4").reshape(2, 2, 2), maps)


def test_json_outputs_have_null_for_what_is_no_number() -> None:
    body, length = request_of(tensor_of(b"a"), [1], outputs=[{"name": "score"}])
    answer, head = answer_infer(parse_infer(body, length), "m", 1, {"score": np.array([np.nan], np.float32)})
    assert head is None
    assert json.loads(answer)["outputs"][0]["data"] == [None]


def test_metadata_name_the_tensors() -> None:
    said = model_metadata("m", [2], "snl-rd")
    assert said["inputs"] == [{"name": "pictures", "datatype": "BYTES", "shape": [-1]}]
    assert [each["name"] for each in said["outputs"]] == list(OUTPUTS)
    assert said["versions"] == ["2"]
