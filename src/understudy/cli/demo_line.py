"""A station to try: a small model of synthetic products, and a line that feeds it."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from understudy.errors import UnderstudyError
from understudy.station.intake import Incoming
from understudy.station.station import Station

__all__ = ["Line", "demo_model"]

STEPS, PICTURES = 150, 40
DEFECTS = 0.08
"""Share of the line's pictures that show a defect."""


def demo_model(folder: Path) -> Path:
    """Train a small model on synthetic pictures and export it, unless an earlier call has; return its folder.

    Raises:
        InputError: the packages that train are not installed.
    """
    exported = folder / "demo" / "line"
    if (exported / "manifest.json").is_file():
        return exported
    try:
        import understudy
        from understudy.lab.factory import FactoryPlan, write_factory
        from understudy.progress import reporting
        from understudy.results import results_in
    except ImportError as error:
        from understudy.errors import extra_needed

        raise extra_needed("train", "understudy serve --demo") from error
    with reporting(plain_lines=True) as reporter:
        with results_in(pictures_of(folder)) as new:
            write_factory(new, FactoryPlan(train=PICTURES, seed=0), reporter.advance)
        model = understudy.fit(
            pictures_of(folder),
            out=folder / "demo" / "model",
            overwrite=True,
            progress=reporter,
            max_steps=STEPS,
            holdout=0.3,
            false_alarm_rate=0.05,
        )
        model.export(exported, format="onnx", progress=reporter)
    return exported


def pictures_of(folder: Path) -> Path:
    """Return the folder of the demo's pictures."""
    return folder / "demo" / "pictures"


class Line:
    """Feeds a station as a production line does, in a thread: mostly good pictures, now and then a defect.

    Args:
        folder: folder of the station, with the demo's pictures.
        station: the station.
        per_second: pictures a second.
        seed: random seed of their order.
    """

    def __init__(self, folder: Path, station: Station, per_second: float = 2.0, seed: int = 0) -> None:
        self._station = station
        self._pause = 1 / per_second
        self._random = random.Random(seed)
        test = sorted(pictures_of(folder).glob("*/test/*/*.png"))
        self._good = [path for path in test if path.parent.name == "good"]
        self._defective = [path for path in test if path.parent.name != "good"]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)

    def __enter__(self) -> Self:
        """Start the line."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the line."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        n = 0
        while not self._stop.wait(self._pause):
            some = self._defective if self._random.random() < DEFECTS else self._good
            path = self._random.choice(some)
            n += 1
            try:
                self._station.intake.inspect([Incoming(f"{n:06d}.png", path.read_bytes())], job="demo")
            except UnderstudyError:
                continue  # a busy station: this picture is lost, as on a line
