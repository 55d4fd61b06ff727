"""What stops a training is said in one sentence with a way out; what is not ours comes through as it is."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
from lightning.fabric.utilities.warnings import PossibleUserWarning

from understudy import InputError, WorkError
from understudy.train.messages import mute_lightning, translate_errors

FOLDER = Path("m") / "training"


@pytest.mark.parametrize(
    ("raised", "kind", "sentence"),
    [
        (SystemExit(1), KeyboardInterrupt, "^$"),
        (
            ValueError("Expected more than 1 value per channel when training, got input size [1, 4]"),
            InputError,
            r"batches of one picture .* --batch-size",
        ),
        (
            OSError(28, "No space left on device"),
            WorkError,
            r"training stopped: No space left on device; .*--resume",
        ),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
            WorkError,
            r"process that decodes pictures was killed .*--resume --workers 0",
        ),
        (
            RuntimeError(
                "Caught PictureError in DataLoader worker process 0.\nTraceback\n"
                "understudy.errors.PictureError: a.png cannot be read: gone"
            ),
            InputError,
            r"^a\.png cannot be read: gone$",
        ),
        (ValueError("another"), ValueError, "^another$"),
        (RuntimeError("another"), RuntimeError, "^another$"),
        (RuntimeError(), RuntimeError, "^$"),
    ],
)
def test_what_stops_a_training_is_said_in_one_sentence(
    raised: BaseException, kind: type[BaseException], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence) as caught, translate_errors(FOLDER):
        raise raised
    assert type(caught.value) is kind
    if kind is WorkError:
        assert str(FOLDER) in str(caught.value)


def test_lightnings_advice_is_held_back_and_other_warnings_are_not() -> None:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with mute_lightning():
            assert logger.level == logging.ERROR
            warnings.warn("few workers", PossibleUserWarning, stacklevel=1)
            warnings.warn("Checkpoint directory m exists and is not empty.", stacklevel=1)
            warnings.warn("ours", UserWarning, stacklevel=1)
        warnings.warn("few workers", PossibleUserWarning, stacklevel=1)
    assert [str(w.message) for w in caught] == ["ours", "few workers"]
    assert logger.level == level


def test_logging_is_as_before_after_a_failure_too() -> None:
    logger = logging.getLogger("lightning.fabric")
    level = logger.level
    with pytest.raises(OSError, match="full"), mute_lightning():
        raise OSError("full")
    assert logger.level == level
