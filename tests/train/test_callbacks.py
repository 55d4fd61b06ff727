"""What looks on while a training runs: its journal, its best epoch, its progress."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from understudy import WorkError
from understudy.train.callbacks import BestEpoch, Journal, ProgressWatch


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_journal_has_a_line_for_each_step_in_the_order_given(tmp_path: Path) -> None:
    path = tmp_path / "new" / "training.jsonl"
    journal = Journal(path)
    journal.write(10, {"loss": 1.23456789, "cosine": 1.0})
    journal.write(20, {"loss": 0.5})
    assert path.read_text().splitlines()[0] == '{"step": 10, "loss": 1.23457, "cosine": 1.0}'
    assert lines(path)[1] == {"step": 20, "loss": 0.5}


def test_a_journal_goes_on_after_the_step_that_was_kept_and_drops_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    path.write_text('{"step": 10, "loss": 3}\n{"step": 20, "loss": 2}\n{"step": 30, "loss": 1}\n{"step": 4')
    Journal(path, start=20).write(30, {"loss": 1.5})
    assert lines(path) == [{"step": s, "loss": loss} for s, loss in ((10, 3), (20, 2), (30, 1.5))]
    Journal(path)
    assert path.read_text() == ""
    path.write_bytes(b'{"step": 10, "loss": 3}\n{"st\xffp": 20}\n{"step": "x"}\n[20]\n7\n{x}\n')
    Journal(path, start=20)
    assert lines(path) == [{"step": 10, "loss": 3}]


def test_a_journal_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match=r"training\.jsonl cannot be written"):
        Journal(tmp_path / "file" / "training.jsonl")


class Counting(nn.Module):
    """A distiller whose student is one number."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Parameter(torch.zeros(1))

    def learned(self) -> dict[str, Tensor]:
        return self.state_dict()

    def load_learned(self, state: dict[str, Tensor]) -> None:
        self.load_state_dict(state)


def watch_steps(best: BestEpoch, distiller: Counting, steps: Iterable[int], last: int = 10) -> None:
    for step in steps:
        distiller.student.data.fill_(step)
        best.on_train_batch_end(  # type: ignore[arg-type]
            SimpleNamespace(global_step=step, max_steps=last), None, None, None, 0
        )


def test_the_step_of_the_lowest_error_is_kept_of_those_that_end_an_epoch_or_the_training() -> None:
    distiller, looked_at = Counting(), []
    told = iter([3.0, math.nan, 1.0, 2.0])

    def error() -> float:
        assert not distiller.training
        looked_at.append(int(distiller.student.item()))
        return next(told)

    best = BestEpoch(distiller, error, every=3)  # type: ignore[arg-type]
    watch_steps(best, distiller, range(1, 11))
    assert looked_at == [3, 6, 9, 10]
    assert distiller.training
    assert (best.step, best.lowest) == (9, 1.0)
    best.restore()
    assert distiller.student.item() == 9


def test_the_choice_of_an_epoch_goes_on_from_a_checkpoint() -> None:
    distiller, errors = Counting(), iter([1.0, 2.0])
    first = BestEpoch(distiller, lambda: next(errors), every=5)  # type: ignore[arg-type]
    watch_steps(first, distiller, range(1, 6))
    second = BestEpoch(distiller, lambda: next(errors), every=5)  # type: ignore[arg-type]
    second.load_state_dict(first.state_dict())
    watch_steps(second, distiller, range(6, 11))
    second.restore()
    assert (second.step, second.lowest, distiller.student.item()) == (5, 1.0, 5)


def test_where_no_error_is_a_number_the_last_student_stays() -> None:
    distiller = Counting()
    best = BestEpoch(distiller, lambda: math.nan, every=2)  # type: ignore[arg-type]
    watch_steps(best, distiller, range(1, 11))
    best.restore()
    assert (best.lowest, distiller.student.item()) == (None, 10)


def watch_losses(watch: ProgressWatch, losses: dict[int, float], last: int) -> None:
    for step, loss in losses.items():
        trainer: Any = SimpleNamespace(global_step=step, max_steps=last)
        watch.on_train_batch_end(trainer, None, {"loss": torch.tensor(loss)}, None, 0)  # type: ignore[arg-type]


def test_every_tenth_loss_and_the_last_are_told_and_written_down(tmp_path: Path) -> None:
    told: list[tuple[str, int, int, str]] = []
    path = tmp_path / "training.jsonl"
    watch = ProgressWatch(lambda *given: told.append(given), Journal(path), lambda: {"cosine": 0.25})
    assert watch.loss is None
    watch_losses(watch, {step: step / 10 for step in range(1, 26)}, last=25)
    assert told == [
        ("train", 10, 25, "loss 1.0000"),
        ("train", 20, 25, "loss 2.0000"),
        ("train", 25, 25, "loss 2.5000"),
    ]
    assert lines(path)[-1] == {"step": 25, "loss": 2.5, "cosine": 0.25}
    again = ProgressWatch(lambda *given: None, Journal(tmp_path / "b.jsonl"), dict)
    again.load_state_dict(watch.state_dict())
    assert again.loss == 2.5


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_training_and_is_not_written_down(
    loss: float, tmp_path: Path
) -> None:
    path = tmp_path / "training.jsonl"
    watch = ProgressWatch(lambda *given: None, Journal(path), dict)
    with pytest.raises(WorkError, match="no longer a number at step 10; try a smaller --lr"):
        watch_losses(watch, {9: loss, 10: loss}, last=25)
    assert path.read_text() == ""
