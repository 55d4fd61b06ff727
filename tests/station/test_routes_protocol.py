"""The inference protocol as an outsider speaks it: Triton's own client, unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Served, serving

from understudy.runtime.inspector import Inspector

http = pytest.importorskip("tritonclient.http")
utils = pytest.importorskip("tritonclient.utils")


@pytest.fixture(scope="module")
def served(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(exported, tmp_path_factory.mktemp("triton") / "s") as station:
        yield station


@pytest.fixture(scope="module")
def pictures(factory: Path) -> list[Path]:
    return sorted(factory.glob("*/test/*/*.png"))[::3]


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    made = http.InferenceServerClient(served.url.removeprefix("http://").rstrip("/"))
    yield made
    made.close()


def input_of(contents: list[bytes], *, binary: bool = True) -> Any:
    given = http.InferInput("pictures", [len(contents)], "BYTES")
    given.set_data_from_numpy(np.array(contents, np.object_), binary_data=binary)
    return given


def test_the_server_and_the_model_describe_themselves(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("model")
    assert client.is_model_ready("model", "1")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    said = client.get_model_metadata("model")
    assert said["versions"] == ["1"]
    assert said["inputs"] == [{"name": "pictures", "datatype": "BYTES", "shape": [-1]}]


def test_scores_and_maps_are_those_of_predict(client: Any, exported: Path, pictures: list[Path]) -> None:
    expected = list(Inspector.load(exported).predict(pictures))
    outputs = [http.InferRequestedOutput(n) for n in ("score", "verdict", "category", "map", "stored", "id")]
    given = input_of([p.read_bytes() for p in pictures])
    answer = client.infer("model", [given], outputs=outputs, request_id="41", parameters={"job": "j"})
    assert answer.get_response()["id"] == "41"
    assert np.allclose(answer.as_numpy("score"), [r.score for r in expected], atol=1e-4)
    assert [v.decode() for v in answer.as_numpy("verdict")] == [r.verdict for r in expected]
    assert [c.decode() for c in answer.as_numpy("category")] == [r.category or "" for r in expected]
    assert np.allclose(answer.as_numpy("map"), np.stack([r.anomaly_map for r in expected]), atol=1e-3)
    assert answer.as_numpy("stored").all()
    assert len(set(answer.as_numpy("id"))) == len(pictures)


def test_by_default_everything_but_the_map_is_sent(client: Any, pictures: list[Path]) -> None:
    answer = client.infer("model", [input_of([pictures[0].read_bytes()])])
    assert answer.as_numpy("score").shape == (1,)
    assert answer.as_numpy("error")[0] in (b"", "")
    assert answer.as_numpy("map") is None


def test_json_alone_says_the_same(served: Served, client: Any, pictures: list[Path]) -> None:
    import base64

    data = pictures[0].read_bytes()
    binary = client.infer("model", [input_of([data])]).as_numpy("score")[0]
    tensor = {
        "name": "pictures",
        "datatype": "BYTES",
        "shape": [1],
        "data": [base64.b64encode(data).decode()],
    }
    said = served.post("v2/models/model/infer", {"inputs": [tensor]})
    assert said.headers["Content-Type"] == "application/json"
    outputs = {each["name"]: each["data"] for each in json.loads(said.body)["outputs"]}
    assert outputs["score"] == [pytest.approx(float(binary))]


def test_a_bad_picture_has_its_sentence_and_the_others_their_scores(
    client: Any, pictures: list[Path]
) -> None:
    answer = client.infer("model", [input_of([pictures[0].read_bytes(), b"no picture"])])
    good, bad = answer.as_numpy("score")
    assert np.isfinite(good)
    assert np.isnan(bad)
    errors = [e.decode() if isinstance(e, bytes) else e for e in answer.as_numpy("error")]
    assert errors[0] == ""
    assert errors[1].startswith("picture-1 is no picture")


def test_a_call_of_bad_pictures_alone_fails_with_the_sentence(client: Any) -> None:
    with pytest.raises(utils.InferenceServerException) as caught:
        client.infer("model", [input_of([b"no picture"])])
    assert "picture-0 is no picture" in str(caught.value)


def test_a_client_id_makes_a_repeated_call_harmless(
    served: Served, client: Any, pictures: list[Path]
) -> None:
    given = [input_of([p.read_bytes() for p in pictures[:2]])]
    outputs = [http.InferRequestedOutput(n) for n in ("id", "map")]
    first, again = (
        client.infer("model", given, outputs=outputs, parameters={"client_id": "part 9"}) for _ in range(2)
    )
    assert list(first.as_numpy("id")) == list(again.as_numpy("id"))
    assert np.allclose(first.as_numpy("map"), again.as_numpy("map"), atol=1e-3)
    kept = served.call("api/inspections?text=part%209").json["rows"]
    assert len(kept) == 2


def test_the_client_may_ask_at_the_same_time(client: Any, pictures: list[Path]) -> None:
    given = [input_of([pictures[0].read_bytes()])]
    calls = [client.async_infer("model", given) for _ in range(8)]
    scores = {round(float(call.get_result().as_numpy("score")[0]), 4) for call in calls}
    assert len(scores) == 1
