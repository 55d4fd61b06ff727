"""A saved model -> a folder that the light runtime scores with, proved to say the same."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

from understudy.calibration import Rates, calibrate_on, unseen_pictures
from understudy.conformal import good_pictures_needed
from understudy.data.folder import open_pictures
from understudy.data.records import PictureSet
from understudy.errors import BundleError, InputError, WorkError, extra_needed
from understudy.exporting.files import OPSET, quantise, write_onnx, write_openvino
from understudy.exporting.parity import answers_of, fault_of, measure_parity, statement
from understudy.exporting.windows import good_windows, known_windows, made_windows
from understudy.model import TrainedModel, load
from understudy.reporter import Reporter
from understudy.runtime import bundle
from understudy.runtime.bundle import GraphCard, GraphFormat, GraphPrecision, Manifest, ParityCard
from understudy.runtime.detector import Inspector
from understudy.runtime.graph import open_graph, runtime_name

__all__ = ["export"]

_UNFINISHED = ".understudy-export-"
_PRECISIONS = get_args(GraphPrecision)
_FILES: dict[GraphFormat, tuple[str, ...]] = {
    "onnx": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
}


def export(
    model: str | Path,
    out: str | Path,
    *,
    format: GraphFormat = "onnx",
    precision: GraphPrecision = "float32",
    data: str | Path | None = None,
    batch_size: int = 8,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Manifest:
    """Write a model as a graph, and prove on pictures that it says the same as in torch.

    In float32 maps and scores are equal within :data:`understudy.exporting.parity.TOLERANCE` and verdicts
    are the same; in bf16 and int8 the scores' ranks agree by
    :data:`understudy.exporting.parity.RANK_FLOOR` at least, and thresholds are set anew from those good
    pictures of ``data`` that the model was not trained on.

    Args:
        model: folder of the model.
        out: folder for the exported one; on failure it stays as it was.
        format: ``onnx``, run by onnxruntime, or ``openvino``.
        precision: ``float32``; ``bf16``, by OpenVINO on a processor that has it; or ``int8``, the student's
            convolutions, by scales from good training pictures of ``data``.
        data: folder or list of pictures that the model knows, to compare on; made ones by default.
        batch_size: windows compared at once.
        overwrite: replace an earlier export in ``out``.
        reporter: where progress goes.

    Returns:
        The manifest of the exported model.

    Raises:
        InputError: an argument cannot be used, or a tool is not installed.
        WorkError: the model has no counterpart as a graph, or its graph does not follow it.
    """
    reporter, out = reporter or Reporter(), Path(out)
    if format not in _FILES:
        raise InputError(f"a model is exported as {' or '.join(_FILES)}, got {format!r}")
    if precision not in _PRECISIONS:
        raise InputError(f"a graph computes in {', '.join(_PRECISIONS)}, got {precision!r}")
    if precision == "bf16" and format != "openvino":
        raise InputError("bf16 is computed by OpenVINO alone; add --format openvino")
    if precision != "float32" and data is None:
        raise InputError(f"{precision} changes scores, so it takes good pictures; name them with --data")
    _require_tools(format)
    _refuse_to_lose(out, overwrite)
    if bundle.read_manifest(Path(model)).graph:
        raise BundleError(f"{model} is an exported model already; name the one that it was made of")
    loaded = load(model, "cpu")
    known = open_pictures(Path(data)).among(loaded.categories) if data is not None else None
    bundle.prepare_folder(out)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=out) as place:
        draft = Path(place)
        _write_graph(loaded, draft, format, known if precision == "int8" else None, reporter)
        unproved = _manifest(loaded, draft, format, precision)
        parity = _prove(loaded, draft, unproved, known, batch_size, reporter)
        if fault := fault_of(parity, precision):
            way_out = "to another --format" if precision == "float32" else "in another --precision"
            raise WorkError(
                f"the graph does not follow {model}: {fault}; nothing was exported, export it {way_out}"
            )
        manifest = _manifest(loaded, draft, format, precision, parity)
        _set_thresholds(loaded, draft, manifest, known, reporter)
        _publish(draft, out, manifest)
    return manifest


def _require_tools(form: GraphFormat) -> None:
    for package in ("onnx", "onnxscript"):
        if not importlib.util.find_spec(package):
            raise extra_needed("train", f"exporting (it uses {package})")
    if form == "openvino" and not importlib.util.find_spec("openvino"):
        raise extra_needed("openvino", "exporting to OpenVINO")


def _refuse_to_lose(out: Path, overwrite: bool) -> None:
    """Make sure that ``out`` holds nothing, or an earlier export that may go."""
    if out.is_dir():
        for left in out.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not _holds_export(out):
        raise InputError(f"{out} holds something that no export made; choose an empty folder with --out")
    if not overwrite:
        raise InputError(f"{out} already holds an exported model; choose another --out, or --overwrite it")


def _holds_export(out: Path) -> bool:
    try:
        return bundle.read_manifest(out).graph is not None
    except BundleError:
        return False


def _write_graph(
    loaded: TrainedModel, folder: Path, form: GraphFormat, known: PictureSet | None, reporter: Reporter
) -> None:
    """Write the graph's files; in int8 where pictures are given to take its scales from."""
    side, path = loaded.preprocess.image_size, folder / _FILES[form][0]
    reporter.say(f"writing {loaded.manifest.method} on {loaded.manifest.teacher.name} as {form}")
    with bundle.writing(folder), tempfile.TemporaryDirectory() as place:
        graph = Path(place) / "float32.onnx"
        write_onnx(loaded.distiller, graph, side, loaded.takes_care)
        if known:
            in_float, graph = graph, Path(place) / "int8.onnx"
            inputs = (loaded.preprocess.inputs(window[None]) for window in good_windows(known, loaded))
            quantise(in_float, graph, inputs)
        if form == "openvino":
            write_openvino(graph, path)
        else:
            shutil.copyfile(graph, path)


def _manifest(
    loaded: TrainedModel,
    folder: Path,
    form: GraphFormat,
    precision: GraphPrecision,
    parity: ParityCard | None = None,
) -> Manifest:
    bundle.write_prototypes(folder, loaded.prototypes)
    bundle.write_json(folder / bundle.PICTURES, loaded.pictures.model_dump(mode="json"))
    rois = bundle.write_rois(folder, loaded.rois)
    graph = GraphCard(
        format=form,
        file=_FILES[form][0],
        precision=precision,
        opset=OPSET,
        care=loaded.takes_care,
        student_sha256=loaded.manifest.student_sha256,
        parity=parity,
    )
    files = {
        name: bundle.sha256_of(folder / name)
        for name in (*_FILES[form], bundle.PROTOTYPES, bundle.PICTURES, *rois)
    }
    return loaded.manifest.model_copy(update={"files": files, "graph": graph})


def _prove(
    loaded: TrainedModel,
    folder: Path,
    manifest: Manifest,
    known: PictureSet | None,
    batch_size: int,
    reporter: Reporter,
) -> ParityCard:
    """Compare model and graph, and say how they do."""
    assert manifest.graph is not None
    if known:
        source, windows = f"pictures of {known.root.name}", known_windows(known, loaded)
    else:
        source, windows = "made pictures and noise", made_windows(loaded)
        reporter.say("no --data is named: compared on made pictures and noise")
    parity = measure_parity(
        answers_of(loaded.network, loaded.preprocess, windows, batch_size),
        answers_of(open_graph(folder, manifest), loaded.preprocess, windows, batch_size),
        loaded.prototypes,
        loaded.calibration,
        runtime=runtime_name(manifest.graph.format),
        source=source,
    )
    for line in statement(parity):
        reporter.say(line)
    return parity


def _set_thresholds(
    loaded: TrainedModel, folder: Path, manifest: Manifest, known: PictureSet | None, reporter: Reporter
) -> None:
    """Those of the model; in another precision, whose scores are others, new ones that promise the same."""
    held = loaded.calibration
    if held is None:
        return
    assert manifest.graph is not None
    if manifest.graph.precision == "float32" or known is None:
        bundle.write_calibration(folder, manifest, held)
        return
    unseen = unseen_pictures(loaded.pictures, known.train() + known.validation())
    need = good_pictures_needed(held.thresholds.false_alarm_rate)
    if len(unseen) < need:
        reporter.say(
            f"scores in {manifest.graph.precision} are others, and {len(unseen)} good pictures that were not "
            f"trained on are too few for thresholds ({need} are needed): calibrate the exported model with "
            "further ones"
        )
        return
    rates = Rates(held.thresholds.false_alarm_rate, held.thresholds.review_rate, held.distances.rate)
    scorer = replace(loaded.inspector.scorer, network=open_graph(folder, manifest), calibration=None)
    inspector = Inspector(scorer, loaded.categories)
    calibrate_on(inspector, manifest, folder, unseen, rates, reporter, held.min_area)


def _publish(draft: Path, out: Path, manifest: Manifest) -> None:
    """Put a proved export into its place; the manifest last."""
    with bundle.writing(out):
        bundle.clear(out)
        for name in (*manifest.files, bundle.CALIBRATION):
            if (draft / name).exists():
                (draft / name).replace(out / name)
    bundle.write_manifest(out, manifest)
