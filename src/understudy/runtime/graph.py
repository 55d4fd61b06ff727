"""Networks that score windows of pictures: the protocol, and graphs for onnxruntime and OpenVINO."""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from understudy.errors import BundleError, InputError, WorkError, extra_needed
from understudy.progress import Lap, untimed
from understudy.runtime.manifest import Manifest
from understudy.runtime.providers import PROVIDERS, onnxruntime_version, open_session, serialised
from understudy.runtime.sources import usable_cores
from understudy.types import GraphFormat, GraphPrecision, ProviderChoice

__all__ = [
    "COMPOSITION",
    "GRAPH_INPUTS",
    "GRAPH_OUTPUTS",
    "Answers",
    "Network",
    "open_graph",
    "runtime_name",
]


_NONE: NDArray[np.float32] = np.zeros((0, 0), np.float32)


class Answers(NamedTuple):
    """Outputs of a network for a batch of windows.

    Attributes:
        maps: (B, S, S) float32 anomaly maps; larger is more abnormal.
        scores: (B,) float32, the method's own score of each window; the maximum of its map by default.
        embeddings: (B, D) float32 of unit length; see :mod:`understudy.runtime.decision`.
        compositions: (B, N) float32 shares of kinds of cells, see
            :class:`understudy.distill.composition.Composition`; (0, 0) if the network does not give them.
    """

    maps: NDArray[np.float32]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    compositions: NDArray[np.float32] = _NONE


class Network(Protocol):
    """(B, 3, S, S) float32 normalised windows and their (B, 1, S, S) valid mask -> :class:`Answers`.

    The mask is 1 where a pixel counts and 0 where it does not; ``None`` if all pixels count.
    """

    def __call__(self, images: NDArray[np.float32], valid: NDArray[np.float32] | None, lap: Lap) -> Answers:
        """Score windows; ``lap`` times the parts of the work."""
        ...


GRAPH_INPUTS = ("images", "care")  # "care" is the valid mask; the file format keeps that name
GRAPH_OUTPUTS = ("map", "score", "embedding")
COMPOSITION = "composition"  # a further output of some graphs

_Arrays = Mapping[str, NDArray[np.float32]]
_Run = Callable[[_Arrays], Sequence[NDArray[np.float32]]]
"""Runs a graph: inputs by name -> outputs in the order of ``GRAPH_OUTPUTS``, then the composition if there is
one. Safe for several threads."""


def open_graph(
    folder: Path, manifest: Manifest, threads: int | None = None, provider: ProviderChoice = "cpu"
) -> Network:
    """Open the graph of an exported model, ready to score.

    Args:
        folder: folder of the model.
        manifest: manifest of the model, as :func:`understudy.runtime.manifest.read_manifest` returns it.
        threads: number of threads that compute; one per usable core by default.
        provider: execution provider of ONNX Runtime; see :mod:`understudy.runtime.providers`.

    Raises:
        BundleError: the model is not exported, or its runtime cannot load the graph.
        InputError: the runtime of the graph is not installed, or has no such provider.
    """
    card = manifest.graph
    if card is None:
        raise BundleError(f"{folder} holds no graph; make one with understudy export {folder} --out DIR")
    path = folder / card.file
    if card.format == "openvino" and provider != "cpu":
        raise InputError(
            f"{path} is a graph for OpenVINO, and --provider is for graphs of ONNX Runtime; leave it out, or "
            "export the model with --format onnx"
        )
    try:
        cores = threads or usable_cores()
        run, inputs = (
            _open_onnx(path, cores, provider)
            if card.format == "onnx"
            else _open_openvino(path, cores, card.precision)
        )
    except (BundleError, InputError):
        raise
    except Exception as error:  # the runtimes have no common exception type
        raise BundleError(
            f"{path} is unaltered, but {runtime_name(card.format)} cannot load it (opset {card.opset}); "
            "update that runtime, or export the model again"
        ) from error
    if inputs != {"images", *(["care"] if card.care else [])}:
        raise BundleError(
            f"{path} takes {', '.join(sorted(inputs))}, not what its manifest says; export it again"
        )
    return _Graph(folder, run, card.care)


def runtime_name(form: GraphFormat) -> str:
    """Return the name and version of the runtime for a graph format, such as ``onnxruntime 1.20``."""
    if form == "onnx":
        return f"onnxruntime {onnxruntime_version()}"
    return f"openvino {importlib.metadata.version('openvino')}"


@dataclass(frozen=True)
class _Graph:
    """A loaded graph as a :class:`Network`."""

    folder: Path
    run: _Run
    takes_valid: bool

    def __call__(
        self, images: NDArray[np.float32], valid: NDArray[np.float32] | None, lap: Lap = untimed
    ) -> Answers:
        given = {"images": np.ascontiguousarray(images)}
        if self.takes_valid:
            given["care"] = np.ones_like(images[:, :1]) if valid is None else np.ascontiguousarray(valid)
        elif valid is not None:
            raise BundleError(
                f"{self.folder} takes no mask of valid pixels, but some pixels of these pictures do not "
                "count; export it again"
            )
        with lap("network", len(images)):
            maps, *others = self.run(given)
        return Answers(maps[:, 0], *others)


def _open_onnx(path: Path, threads: int, provider: ProviderChoice) -> tuple[_Run, set[str]]:
    """Return a function that runs a graph, and the names of the graph's inputs."""
    from onnxruntime.capi.onnxruntime_pybind11_state import EPFail

    session, turn = open_session(path, threads, provider), serialised(provider)
    names = _outputs({each.name for each in session.get_outputs()})

    def run(given: _Arrays) -> Sequence[NDArray[np.float32]]:
        with turn:
            try:
                outputs: Sequence[NDArray[np.float32]] = session.run(names, given)
            except EPFail as error:
                raise WorkError(
                    f"{path}: {PROVIDERS[provider].title} failed while it ran: "
                    f"{str(error).partition(chr(10))[0]}; look at its driver, or name another --provider"
                ) from error
        return outputs

    return run, {each.name for each in session.get_inputs()}


def _open_openvino(path: Path, threads: int, precision: GraphPrecision) -> tuple[_Run, set[str]]:
    """Return a function that runs a graph, and the names of the graph's inputs."""
    try:
        import openvino
    except ImportError as error:
        raise extra_needed("openvino", f"the OpenVINO graph {path}") from error
    core = openvino.Core()
    bf16 = precision == "bf16"
    if bf16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise BundleError(
            f"{path} is to be computed in bf16, which this processor does not have; export it in float32"
        )
    compiled = core.compile_model(
        core.read_model(path),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            # Otherwise OpenVINO uses bf16 where it can; thresholds hold for one precision only.
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    names = _outputs({name for each in compiled.outputs for name in each.get_names()})
    per_thread = threading.local()  # an infer request serves one call at a time

    def run(given: _Arrays) -> Sequence[NDArray[np.float32]]:
        if not hasattr(per_thread, "request"):
            per_thread.request = compiled.create_infer_request()
        outputs = per_thread.request.infer(dict(given))
        return [outputs[name] for name in names]

    return run, {each.get_any_name() for each in compiled.inputs}


def _outputs(there: set[str]) -> list[str]:
    """Return the outputs that a graph is asked for, in order."""
    return [*GRAPH_OUTPUTS, *(name for name in (COMPOSITION,) if name in there)]
