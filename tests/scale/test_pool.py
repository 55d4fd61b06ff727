"""Several processes measure what one does, in its order, to the last bit."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from understudy import InputError, Inspector, PictureError, WorkError
from understudy.runtime.scoring import Scored
from understudy.runtime.walk import find_pictures
from understudy.scale.pool import scoring_pool


def test_scores_maps_and_errors_come_in_order_and_are_those_of_one_process(
    exported: Path, lake: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"none")
    paths = [*find_pictures(lake), tmp_path / "broken.png"] * 2
    scorer = Inspector.load(exported).scorer
    one = list(scorer.score(paths, steady=True))
    with scoring_pool(exported, 2) as score:
        several = list(score(paths, [None] * len(paths)))
    assert len(one) == len(several) == 36
    for ours, theirs in zip(one, several, strict=True):
        if isinstance(ours, PictureError):
            assert isinstance(theirs, PictureError)
            assert (str(theirs), theirs.path) == (str(ours), ours.path)
            continue
        assert isinstance(theirs, Scored)
        assert (theirs.path, theirs.score, theirs.digest) == (ours.path, ours.score, ours.digest)
        np.testing.assert_array_equal(theirs.anomaly_map, ours.anomaly_map)
        np.testing.assert_array_equal(theirs.embedding, ours.embedding)


def test_a_process_that_is_killed_is_one_sentence(exported: Path, lake: Path) -> None:
    def kill_while_scoring() -> None:
        with scoring_pool(exported, 2) as score:
            for _ in score(find_pictures(lake) * 40, [None] * 17 * 40):
                for child in multiprocessing.active_children():
                    child.kill()

    with pytest.raises(WorkError, match="a process of --workers ended before its work"):
        kill_while_scoring()


def test_a_trained_model_is_refused_before_any_process_starts(model_folder: Path) -> None:
    with pytest.raises(InputError, match="is a trained model"), scoring_pool(model_folder, 2):
        pass
