"""Execution providers: the one that is asked for runs the graph, or one sentence says what is there."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from understudy import Inspector
from understudy.errors import InputError, WorkError
from understudy.runtime import providers
from understudy.runtime.providers import (
    PROVIDERS,
    installed_providers,
    onnxruntime_version,
    open_session,
    require_provider,
    serialised,
)


def pretend(monkeypatch: pytest.MonkeyPatch, *names: str, starts: Sequence[str] | None = None) -> list[Any]:
    """Let onnxruntime have some providers, of which some start. Returns what sessions are opened with."""
    asked: list[Any] = []

    class Session:
        def __init__(self, path: object, options: object, providers: Sequence[tuple[str, dict[str, str]]]):
            asked.append((options, providers))

        def get_providers(self) -> list[str]:
            return list(starts if starts is not None else names)

        def disable_fallback(self) -> None:
            asked.append("no fallback")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(names))
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    return asked


def test_the_installed_onnxruntime_computes_on_the_processor() -> None:
    assert installed_providers()[0] == "cpu"
    assert onnxruntime_version() == onnxruntime.__version__


def test_by_default_an_exported_model_runs_on_the_processor_as_if_nothing_was_asked(
    exported: Path, factory: Path
) -> None:
    asked, default = Inspector.load(exported, provider="cpu"), Inspector.load(exported)
    test = factory / "nut" / "test"
    for ours, theirs in zip(asked.predict(test), default.predict(test), strict=True):
        assert ours.score == theirs.score


def test_a_provider_that_is_not_there_names_those_that_are_and_the_package(
    monkeypatch: pytest.MonkeyPatch, exported: Path
) -> None:
    pretend(monkeypatch, "OpenVINOExecutionProvider", "CPUExecutionProvider", "AzureExecutionProvider")
    monkeypatch.setattr(providers.platform, "system", lambda: "Linux")
    with pytest.raises(InputError) as caught:
        Inspector.load(exported, provider="cuda")
    assert str(caught.value) == (
        "--provider cuda needs an ONNX Runtime with CUDA, and this one has cpu, openvino; "
        "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
    )
    with pytest.raises(InputError, match=r"Core ML exists on macOS alone$"):
        require_provider("coreml")
    with pytest.raises(InputError, match=r"no provider 'npu'; there are cpu, cuda, tensorrt"):
        require_provider("npu")  # type: ignore[arg-type]


def test_the_provider_that_is_asked_for_comes_first_and_the_processor_takes_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    have = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    asked = pretend(monkeypatch, *have)
    open_session(Path("model.onnx"), 3, "tensorrt")
    options, wanted = asked[0]
    assert options.intra_op_num_threads == 3
    assert wanted == [(have[0], {}), (have[1], {"use_tf32": "0"}), (have[2], {})]


def test_a_provider_that_silently_gives_way_to_another_is_refused(
    monkeypatch: pytest.MonkeyPatch, exported: Path
) -> None:
    pretend(monkeypatch, "CUDAExecutionProvider", "CPUExecutionProvider", starts=["CPUExecutionProvider"])
    with pytest.raises(
        InputError, match=r"has CUDA and could not start it here, so .*model\.onnx would run by CPUExec.*;"
    ):
        Inspector.load(exported, provider="cuda")


def test_no_session_goes_over_to_the_processor_later(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = pretend(monkeypatch, "CUDAExecutionProvider", "CPUExecutionProvider")
    open_session(Path("model.onnx"), 1, "cuda")
    assert asked[-1] == "no fallback"


def test_a_provider_that_fails_while_it_runs_is_one_sentence_and_nothing_is_computed_by_another(
    exported: Path, factory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import EPFail

    opened: list[Any] = []
    session = onnxruntime.InferenceSession

    class Failing:
        """The native part of a session whose GPU is lost."""

        def __getattr__(self, name: str) -> Any:
            return lambda *given: False

        def run(self, *given: object) -> object:
            raise EPFail("CUDA failure 700: an illegal memory access was encountered\nat line 1")

    def open_it(*given: Any, **named: Any) -> Any:
        opened.append(session(*given, **named))
        return opened[-1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_it)
    inspector = Inspector.load(exported)
    for each in opened:
        each._sess = Failing()
        each.set_providers = lambda names: pytest.fail("it began again")
    with pytest.raises(
        WorkError, match=r"model\.onnx: the processor failed while it ran: CUDA failure 700.*;"
    ):
        list(inspector.predict(factory / "nut" / "test"))
    assert capsys.readouterr().out == ""


def test_a_provider_for_one_thread_at_a_time_gets_a_lock() -> None:
    assert isinstance(serialised("directml"), type(threading.Lock()))
    with serialised("cpu") as first, serialised("cpu") as second:
        assert first is second is None


def test_every_provider_falls_back_on_the_processor_for_what_it_cannot_compute() -> None:
    assert {provider.names[-1] for provider in PROVIDERS.values()} == {"CPUExecutionProvider"}
