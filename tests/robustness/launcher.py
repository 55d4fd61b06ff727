"""Commands in processes of their own, forked from one that has imported everything and computed nothing."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from robustness.judge import Ran, command


class Launcher:
    """Forks processes that run a command; made before this process computes anything."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        if not os.fork():
            self._pipe.close()
            try:
                _serve(theirs)
            finally:
                os._exit(0)
        theirs.close()

    def start(self, words: Sequence[str | Path], answer: Path) -> Started:
        """Start a command; what it leaves is written to a file, ``answer``."""
        self._pipe.send(([str(word) for word in words], answer, os.getcwd()))  # noqa: PTH109
        return Started(self._pipe.recv(), answer)


class Started:
    """A command that runs in a process of its own.

    Attributes:
        process: number of the process.
    """

    def __init__(self, process: int, answer: Path) -> None:
        self.process, self._answer = process, answer

    def runs(self) -> bool:
        """Whether the command still runs."""
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        return True

    def stop(self, how: signal.Signals, after: float) -> None:
        """Send a signal after some seconds, if the command still runs."""
        until = time.monotonic() + after
        while self.runs() and time.monotonic() < until:
            time.sleep(0.002)
        if self.runs():
            os.kill(self.process, how)

    def wait(self) -> Ran | None:
        """Return what the command left; ``None`` if it was killed."""
        while self.runs():
            time.sleep(0.002)
        if not self._answer.is_file():
            return None
        ran: Ran = pickle.loads(self._answer.read_bytes())
        self._answer.unlink()
        return ran


def _serve(pipe: Connection) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended processes vanish
    while True:
        try:
            words, answer, folder = pipe.recv()
        except EOFError:
            return
        process = os.fork()
        if not process:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.chdir(folder)
            ran = command(*words)
            part = answer.with_suffix(".part")
            part.write_bytes(pickle.dumps(ran))
            part.rename(answer)
            os._exit(0)
        pipe.send(process)
