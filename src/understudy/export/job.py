"""Export a saved model to a folder that the light runtime reads, and prove that both agree."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch

from understudy import files
from understudy.calibrate.conformal import good_pictures_needed
from understudy.calibrate.job import FEWEST, calibrate_on, unseen_pictures
from understudy.calibrate.thresholds import Rates
from understudy.data.layouts import as_picture_set
from understudy.data.records import PictureData, PictureSet
from understudy.distill.distiller import Distiller
from understudy.errors import BundleError, InputError, WorkError, extra_needed
from understudy.export.formats import OPSET, quantise, write_onnx, write_openvino
from understudy.export.parity import answers_of, fault_of, measure_parity, parity_statement
from understudy.export.windows import good_windows, known_windows, made_windows
from understudy.folders import draft_in, finish, foreign_files, locked, publish, read_sealed
from understudy.methods.saved import load_trained
from understudy.progress import Progress, Reporter, reporting
from understudy.runtime import manifest as manifests
from understudy.runtime.bundle import save_calibration, save_rois, write_prototypes, write_usual
from understudy.runtime.graph import open_graph, runtime_name
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import GraphCard, Manifest, ParityCard
from understudy.types import GraphFormat, GraphPrecision

__all__ = ["export"]


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
    data: PictureData | None = None,
    batch_size: int = 8,
    overwrite: bool = False,
    require_signature: str | Path | None = None,
    progress: Progress = True,
) -> Manifest:
    """Write a model as a graph, and prove on pictures that the graph agrees with the model in torch.

    In float32, maps and scores differ by at most :data:`understudy.export.parity.TOLERANCE`, and the verdicts
    are the same. In bf16 and int8, the rank correlation of the scores is at least
    :data:`understudy.export.parity.RANK_FLOOR`. Thresholds are then set again, from the good pictures of
    ``data`` that the model was not trained on.

    Args:
        model: folder of a trained model.
        out: new or empty folder for the exported model. If the export fails, it stays as it was.
        format: ``onnx``, which onnxruntime runs, or ``openvino``.
        precision: ``float32``; ``bf16``, for OpenVINO on a processor that computes in it; or ``int8`` for the
            convolutions of the student. The last two are faster and less exact, and need ``data``.
        data: folder or list of pictures to compare on, of products that the model knows; noise by default.
            In int8, its good training pictures also set the scales.
        batch_size: number of windows compared at once.
        overwrite: whether to replace an earlier export in ``out``.
        require_signature: file of a public key (PEM) that ``model`` must be signed with.
        progress: see :data:`understudy.progress.Progress`.

    Returns:
        The manifest of the exported model.

    Raises:
        InputError: an argument cannot be used, or a tool is not installed.
        BundleError: ``model`` holds no trained model, or it is exported, incomplete or altered.
        WorkError: the model cannot be written as a graph, or the graph does not agree with it.
    """
    model, out = Path(model), files.named_path(out, "the folder for the exported model")
    _refuse_options(format, precision, data)
    _require_tools(format)
    _refuse_to_lose(out, overwrite)
    if manifests.read_manifest(model).graph:
        raise BundleError(f"{model} is an exported model already; name the one that it was made of")
    distiller, inspector = load_trained(model, torch.device("cpu"), require_signature=require_signature)
    known = as_picture_set(data).keep_known(inspector.categories) if data is not None else None
    files.check_writable(out)
    with reporting(progress) as reporter, locked(out, manifests.MANIFEST), draft_in(out) as draft:
        _refuse_to_lose(out, overwrite)  # another process may have written meanwhile
        manifests.list_all(out)
        scales_from = known if precision == "int8" else None
        _write_graph(distiller, inspector, draft, format, scales_from, reporter)
        unproved = _manifest(inspector, draft, format, precision)
        parity = _prove(inspector, draft, unproved, known, batch_size, reporter)
        if fault := fault_of(parity, precision):
            way_out = "to another --format" if precision == "float32" else "in another --precision"
            raise WorkError(
                f"the graph does not follow {model}: {fault}; nothing was exported, export it {way_out}"
            )
        manifest = _manifest(inspector, draft, format, precision, parity)
        manifests.write_manifest(draft, manifest)
        manifest = _set_thresholds(inspector, draft, manifest, known, reporter)
        publish(draft, out, manifests.MANIFEST)
    return manifest


def _refuse_options(form: GraphFormat, precision: GraphPrecision, data: PictureData | None) -> None:
    if form not in _FILES:
        raise InputError(f"a model is exported as {' or '.join(_FILES)}, got {form!r}")
    if precision not in _PRECISIONS:
        raise InputError(f"a graph computes in {', '.join(_PRECISIONS)}, got {precision!r}")
    if precision == "bf16" and form != "openvino":
        raise InputError("bf16 is computed by OpenVINO alone; add --format openvino")
    if precision != "float32" and data is None:
        raise InputError(f"{precision} changes scores, so it takes good pictures; name them with --data")


def _require_tools(form: GraphFormat) -> None:
    for package in ("onnx", "onnxscript"):
        if not importlib.util.find_spec(package):
            raise extra_needed("train", f"exporting (it uses {package})")
    if form == "openvino" and not importlib.util.find_spec("openvino"):
        raise extra_needed("openvino", "exporting to OpenVINO")


def _refuse_to_lose(out: Path, overwrite: bool) -> None:
    """Make sure that ``out`` holds nothing, or an earlier export that may be replaced."""
    finish(out, manifests.MANIFEST)
    earlier = read_sealed(out / manifests.MANIFEST)
    if earlier is None or not earlier.get("graph"):
        if out.exists() and not (out.is_dir() and not any(foreign_files(out))):
            raise InputError(f"{out} holds something that no export made; choose an empty folder with --out")
    elif not overwrite:
        raise InputError(f"{out} already holds an exported model; choose another --out, or --overwrite it")
    manifests.refuse_changed(out)


def _write_graph(
    distiller: Distiller,
    loaded: Inspector,
    folder: Path,
    form: GraphFormat,
    known: PictureSet | None,
    reporter: Reporter,
) -> None:
    """Write the files of the graph; in int8 if there are pictures, ``known``, to take the scales from."""
    side, path = loaded.scorer.preprocess.image_size, folder / _FILES[form][0]
    reporter.say(f"writing {loaded.manifest.method} on {loaded.manifest.teacher.name} as {form}")
    with files.writing(folder), tempfile.TemporaryDirectory() as place:
        graph = Path(place) / "float32.onnx"
        write_onnx(distiller, graph, side, loaded.scorer.uses_valid_mask)
        if known:
            in_float, graph = graph, Path(place) / "int8.onnx"
            inputs = (loaded.scorer.preprocess.inputs(window[None]) for window in good_windows(known, loaded))
            quantise(in_float, graph, inputs)
        if form == "openvino":
            write_openvino(graph, path)
        else:
            shutil.copyfile(graph, path)


def _manifest(
    loaded: Inspector,
    folder: Path,
    form: GraphFormat,
    precision: GraphPrecision,
    parity: ParityCard | None = None,
) -> Manifest:
    write_prototypes(folder, loaded.scorer.prototypes)
    files.write_json(folder / manifests.PICTURES, loaded.seen.model_dump(mode="json"))
    others = save_rois(folder, loaded.scorer.rois)
    if loaded.scorer.usual:
        write_usual(folder, loaded.scorer.usual)
        others.append(manifests.USUAL)
    graph = GraphCard(
        format=form,
        file=_FILES[form][0],
        precision=precision,
        opset=OPSET,
        care=loaded.scorer.uses_valid_mask,
        student_sha256=loaded.manifest.student_sha256,
        parity=parity,
    )
    hashes = {
        name: files.sha256_of(folder / name)
        for name in (*_FILES[form], manifests.PROTOTYPES, manifests.PICTURES, *others)
    }
    return loaded.manifest.model_copy(
        update={"bundle_schema": manifests.BUNDLE_SCHEMA, "files": hashes, "graph": graph}
    )


def _prove(
    loaded: Inspector,
    folder: Path,
    manifest: Manifest,
    known: PictureSet | None,
    batch_size: int,
    reporter: Reporter,
) -> ParityCard:
    """Compare model and graph, and report how well they agree."""
    assert manifest.graph is not None
    if known:
        source, windows = f"pictures of {known.root.name}", known_windows(known, loaded)
    else:
        source, windows = "noise", made_windows(loaded)
        reporter.say("no --data is named: compared on noise")
    parity = measure_parity(
        answers_of(loaded.scorer.network, loaded.scorer.preprocess, windows, batch_size),
        answers_of(open_graph(folder, manifest), loaded.scorer.preprocess, windows, batch_size),
        loaded.scorer,
        runtime=runtime_name(manifest.graph.format),
        source=source,
        valid=windows[..., 3] > 0 if windows.shape[3] > 3 else None,
    )
    for line in parity_statement(parity):
        reporter.say(line)
    return parity


def _set_thresholds(
    loaded: Inspector, folder: Path, manifest: Manifest, known: PictureSet | None, reporter: Reporter
) -> Manifest:
    """Write the thresholds of the exported model; return its manifest.

    In float32 they are those of the model. Another precision changes the scores, so new thresholds at the
    same rates are set on good pictures; without enough of them, the export has no thresholds.
    """
    held = loaded.calibration
    if held is None:
        return manifest
    assert manifest.graph is not None
    if manifest.graph.precision == "float32" or known is None:
        return save_calibration(folder, manifest, held)
    unseen = unseen_pictures(loaded.seen, known.train() + known.validation())
    need = min(FEWEST, good_pictures_needed(held.thresholds.false_alarm_rate))
    if len(unseen) < need:
        reporter.say(
            f"scores in {manifest.graph.precision} are others, and {len(unseen)} good pictures that were not "
            f"trained on are too few for thresholds ({need} are needed): calibrate the exported model with "
            "further ones"
        )
        return manifest
    t = held.thresholds
    rates = Rates(t.false_alarm_rate, t.review_rate - t.false_alarm_rate + held.distances.rate)
    scorer = replace(loaded.scorer, network=open_graph(folder, manifest), calibration=None)
    exported = Inspector(scorer, manifest, loaded.seen, folder)
    calibrate_on(exported, unseen, rates, reporter, held.min_area)
    return exported.manifest
