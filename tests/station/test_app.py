"""One app of all routes: what a bad call is told, and the description of all calls."""

from __future__ import annotations

import json

import pytest
from serving import Served

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "sentence"),
    [
        ("inspect", b"x", {"Content-Type": "text/plain"}, 415, "send a form"),
        ("inspect", b"x", {"Content-Type": "multipart/form-data"}, 400, "Missing boundary"),
        (
            "inspect",
            b"x",
            {"Content-Type": "multipart/form-data; boundary=b"},
            400,
            "the form cannot be read",
        ),
        ("inspect", b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}, 422, "no picture"),
        (
            "inspect?product=screw",
            b"x",
            {"Content-Type": "image/png"},
            422,
            "not trained on category 'screw'",
        ),
        ("inspect?job=" + "x" * 300, b"x", {"Content-Type": "image/png"}, 422, "job"),
        ("api/inspections?limit=0", None, {}, 422, "limit"),
        ("api/inspections?since=yesterday", None, {}, 422, "since"),
        ("nothing", None, {}, 404, "there is nothing here"),
        ("inspect", None, {}, 405, "does not take that method"),
        ("api/thresholds", b"{", JSON, 422, "JSON decode error"),
        ("api/thresholds", b'{"review_above": 2, "fail_above": 1}', JSON, 422, "must not exceed"),
        ("v2/models/other", None, {}, 404, "there is no model other"),
        ("v2/models/model/infer", b"{", {}, 400, "no JSON"),
        ("v2/models/model/infer", b"{}", {"Content-Encoding": "gzip"}, 415, "compressed"),
        ("page/../app.py", None, {}, 404, "there is nothing here"),
    ],
)
def test_a_bad_call_gets_one_sentence(
    served: Served, path: str, body: bytes | None, headers: dict[str, str], status: int, sentence: str
) -> None:
    answer = served.call(path, body, headers)
    assert (answer.status, sentence in answer.error) == (status, True), answer.body
    assert "\n" not in answer.error


def test_the_openapi_description_names_every_path(served: Served) -> None:
    paths = json.loads(served.call("openapi.json").body)["paths"]
    for path in ("/inspect", "/v2/models/{name}/infer", "/api/state", "/api/inspections/{id}/reviews"):
        assert path in paths
    assert "multipart/form-data" in paths["/inspect"]["post"]["requestBody"]["content"]
