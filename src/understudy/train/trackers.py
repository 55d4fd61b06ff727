"""Records of a training beside its journal, by Lightning's loggers: MLflow, TensorBoard and CSV files.

A tracker gets what the journal gets. It is read from the journal itself, so it does not matter which process
trains. No tracker can stop or spoil a training: one that fails is left out from then on, after a line that
says why.
"""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger

from understudy.errors import InputError, extra_needed
from understudy.progress import Reporter
from understudy.runtime.decision import Calibration
from understudy.runtime.manifest import MANIFEST, Manifest
from understudy.train.loop import journal_file
from understudy.train.options import FitOptions
from understudy.train.processes import is_first_process
from understudy.types import TrackerName

__all__ = ["Trackers", "require_trackers", "tracking"]


_PACKAGES: Mapping[TrackerName, str] = {"mlflow": "mlflow", "tensorboard": "tensorboard", "csv": "lightning"}
_EXPERIMENT = "understudy"
_NOT_SETTINGS = {"resume", "overwrite", "logger", "logger_to"}
_MLFLOW_DEFAULTS = {  # unless the user has set them: a server that is gone must not hold a training up
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_TALKATIVE = ("mlflow", "alembic", "lightning.pytorch", "urllib3")


def require_trackers(asked: FitOptions, out: Path) -> None:
    """Check that the trackers that are asked for can be opened, before any work is done.

    Raises:
        InputError: a package is missing, or the place does not suit a tracker.
    """
    for name in asked.logger or ():
        if find_spec(_PACKAGES[name]) is None:
            raise extra_needed(name if name != "csv" else "train", f"--logger {name}")
        if name != "mlflow" and "://" in asked.logger_to:
            raise InputError(f"--logger {name} writes into a folder, got --logger-to {asked.logger_to}")
    place = Path(asked.logger_to).absolute()
    if asked.logger and "://" not in asked.logger_to and out.absolute() in (place, *place.parents):
        raise InputError(
            f"{asked.logger_to} is in the folder of the model, which holds nothing else; name another folder "
            "with --logger-to"
        )


@contextmanager
def tracking(asked: FitOptions, out: Path, reporter: Reporter) -> Iterator[Trackers]:
    """Open the trackers that are asked for, give them the settings, and close them at the end.

    Args:
        asked: options of the training.
        out: folder of the model; its name is that of the run.
        reporter: takes a line if a tracker fails.

    Raises:
        InputError: see :func:`require_trackers`.
    """
    names = asked.logger or () if is_first_process(asked) else ()
    require_trackers(asked, out)
    trackers = Trackers(journal_file(out), reporter)
    for name in names:
        trackers.open(name, lambda name=name: _logger(name, asked.logger_to, out.name))  # type: ignore[misc]
    options = asked.model_dump(mode="json", include=set(FitOptions.model_fields) - _NOT_SETTINGS)
    trackers.settings(options)
    ended = "failed"
    try:
        yield trackers
        ended = "success"
    finally:
        trackers.close(ended)


def _logger(name: TrackerName, place: str, run: str) -> Logger:
    """Open one of Lightning's loggers; a run that cannot be made raises here."""
    logger: Logger
    if name == "csv":
        logger = CSVLogger(Path(place) / name, name=run, flush_logs_every_n_steps=1)
    elif name == "tensorboard":
        logger = TensorBoardLogger(Path(place) / name, name=run, default_hp_metric=False)
    else:
        for variable, value in _MLFLOW_DEFAULTS.items():
            os.environ.setdefault(variable, value)
        artefacts = None
        if "://" not in place:
            folder = Path(place).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            place, artefacts = f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        logger = MLFlowLogger(experiment, run, place, artifact_location=artefacts)
    getattr(logger, "experiment")  # noqa: B009  # opens the run
    return logger


@dataclass
class Trackers:
    """The trackers of one training. Without any, every call does nothing.

    Attributes:
        journal: journal of the training, whose lines are passed on.
        reporter: takes a line if a tracker fails.
        loggers: Lightning's loggers that still work, by the name of the tracker.
    """

    journal: Path
    reporter: Reporter
    loggers: dict[TrackerName, Logger] = field(default_factory=dict)
    _read: int = 0  # bytes of the journal that were passed on

    @property
    def following(self) -> Reporter:
        """The reporter, which passes new lines of the journal on whenever the training reports."""
        if not self.loggers:
            return self.reporter

        def advance(what: str, done: int, total: int, note: str) -> None:
            self.reporter.advance(what, done, total, note)
            if what == "train":
                self.follow()

        return Reporter(self.reporter.say, advance)

    def open(self, name: TrackerName, make: Callable[[], Logger]) -> None:
        """Add a tracker; if it cannot be made, a line says so."""
        with self._guarded(name):
            self.loggers[name] = make()

    def settings(self, values: Mapping[str, object]) -> None:
        """Record settings by name."""
        flat = {_clean(name): "" if value is None else value for name, value in _flat(values).items()}
        self._each(lambda logger: logger.log_hyperparams(flat))

    def follow(self, journal: Path | None = None) -> None:
        """Pass on the lines of the journal that are new; to a resumed training, those before its stop too.

        Args:
            journal: copy of the journal, where the training has ended and removed its own.
        """
        try:
            with (journal or self.journal).open("rb") as file:
                file.seek(self._read)
                lines = file.readlines()
        except OSError:
            return
        for line in lines:
            if not line.endswith(b"\n"):
                return
            self._read += len(line)
            with suppress(
                ValueError, KeyError, TypeError, AttributeError
            ):  # a line that was damaged by a stop
                figures = json.loads(line)
                self.figures({n: v for n, v in figures.items() if n != "step"}, int(figures["step"]))

    def figures(self, values: Mapping[str, object], step: int | None = None) -> None:
        """Record figures by name, at a step of the training or of none; what is no number is left out."""
        numbers = {
            _clean(name): float(value)
            for name, value in _flat(values).items()
            if isinstance(value, int | float)
        }
        if numbers:
            self._each(lambda logger: logger.log_metrics(numbers, step))

    def result(self, manifest: Manifest, calibration: Calibration | None) -> None:
        """Record how the training ended, and the thresholds."""
        self.follow(self.journal.parent.parent / self.journal.name)  # one that had no step left reported none
        training = manifest.training
        self.settings({"trained": {"precision": training.precision, "device": training.device}})
        facts = {"seconds": training.seconds, "steps": training.steps, "kept_step": training.kept_step}
        self.figures(
            {"trained": facts | {"good_pictures": sum(training.categories.values())}}, training.steps
        )
        if calibration:
            limits = calibration.thresholds.model_dump(exclude={"basis"})
            self.figures({"calibration": limits}, training.steps)

    def model(self, folder: Path, manifest: Manifest) -> None:
        """Keep the files of a model as artefacts, where the tracker keeps files."""
        self.artefacts([folder / name for name in (*manifest.files, MANIFEST)], "model")

    def artefacts(self, files: Sequence[Path], group: str) -> None:
        """Keep files as artefacts of the run, where the tracker keeps files; MLflow alone does."""

        def keep(logger: Logger) -> None:
            if isinstance(logger, MLFlowLogger):
                for file in files:
                    logger.experiment.log_artifact(logger.run_id, str(file), group)

        self._each(keep)

    def close(self, ended: str) -> None:
        """End the runs: as ``success`` or as ``failed``."""
        self._each(lambda logger: logger.finalize(ended))

    def _each(self, work: Callable[[Logger], object]) -> None:
        for name, logger in list(self.loggers.items()):
            with self._guarded(name):
                work(logger)

    @contextmanager
    def _guarded(self, name: TrackerName) -> Iterator[None]:
        """Leave a tracker out if the block fails, after a line that says why."""
        try:
            with _quiet():
                yield
        except Exception as error:  # servers, disks and databases fail in many ways
            self.loggers.pop(name, None)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self.reporter.say(
                f"the tracker {name} failed and is left out; the training goes on: {reason:.200}"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Mute what trackers and their databases say beside errors."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _flat(values: Mapping[str, object], before: str = "") -> dict[str, object]:
    """Give the values of nested mappings names such as ``settings.centers``."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat


def _clean(name: str) -> str:
    """Return a name that every tracker takes."""
    return re.sub(r"[^\w./ -]", "_", name)
