"""Two processes train as one does: losses, means, statistics, epochs, resuming, features."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from understudy import WorkError
from understudy.data.features import FeatureStore
from understudy.data.layouts import open_pictures
from understudy.data.sampler import BalancedOrder, NaturalOrder, SeededBatches
from understudy.data.store import PictureStore
from understudy.distill.distiller import Distiller
from understudy.distill.network import Normaliser
from understudy.distill.teacher import Teacher
from understudy.distill.weights import load_teacher
from understudy.methods import Sgd, build, settings_for
from understudy.runtime.preprocess import Preprocess
from understudy.train.loop import Trained, checkpoint_file, journal_file, train
from understudy.train.plan import TrainingPlan

LOOK = Preprocess(image_size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CALM = Sgd(lr=1e-4)  # with a higher rate, rounding grows from step to step, in one process too


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return load_teacher("tf_efficientnet_lite0", (8, 16))[0]


@pytest.fixture(scope="module")
def pictures(factory: Path) -> PictureStore:
    return PictureStore([r.path for r in open_pictures(factory).train()], LOOK)


def plan(steps: int = 20, **changes: object) -> TrainingPlan:
    values = {
        "steps": steps,
        "batch_size": 8,
        "optimiser": CALM,
        "seed": 0,
        "precision": "32",
        "device": torch.device("cpu"),
    }
    return TrainingPlan(**values | changes)


def fresh(teacher: Teacher, method: str = "rd", seed: int = 0) -> Distiller:
    torch.manual_seed(seed)
    return build(method, teacher, settings_for(method))


def run(
    distiller: Distiller, pictures: PictureStore, folder: Path, how: TrainingPlan, **options: object
) -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("understudy.train.callbacks._REPORT_EVERY", 1)
        return train(distiller, pictures, LOOK, how, folder, description="test", **options)


def journal(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in journal_file(folder).read_text().splitlines()]


def close(one: Distiller, two: Distiller) -> None:
    for (name, alone), shared in zip(one.learned().items(), two.learned().values(), strict=True):
        assert torch.allclose(alone.float(), shared.float(), rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize(("method", "rel"), [("snl-rd", 3e-4), ("rd", 1e-4), ("stpm", 3e-3)])
def test_two_processes_train_as_one_does(
    method: str, rel: float, teacher: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    one, two = fresh(teacher, method), fresh(teacher, method)
    run(one, pictures, tmp_path / "one", plan())
    told: list[int] = []
    run(
        two,
        pictures,
        tmp_path / "two",
        plan(devices=2),
        advance=lambda what, done, total, note: told.append(done),
    )
    for alone, shared in zip(journal(tmp_path / "one"), journal(tmp_path / "two"), strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], rel=rel)
        assert list(shared) == list(alone)
    assert told == list(range(1, 21))  # one process reports
    assert not two.training


def test_the_mean_of_weights_recomputed_statistics_features_and_balanced_batches_are_those_of_one(
    teacher: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    inputs = Normaliser(LOOK)
    with torch.no_grad():
        levels = teacher(inputs(torch.stack([pictures[i] for i in range(len(pictures))]))[0])
    features = FeatureStore([f.permute(0, 2, 3, 1).contiguous() for f in levels], range(len(pictures)))
    options = {"categories": ["a"] * 3 + ["b"] * (len(pictures) - 3), "features": features}
    how = plan(4, averaging=0.5, statistics="recomputed")
    one, two = fresh(teacher), fresh(teacher)
    run(one, pictures, tmp_path / "one", how, **options)
    run(two, pictures, tmp_path / "two", replace(how, devices=2), **options)
    close(one, two)


def test_the_best_epoch_is_that_of_one_process(
    teacher: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    one, two, how = fresh(teacher), fresh(teacher), plan(6)
    kept = [
        run(d, pictures, tmp_path / name, each, validation=pictures)
        for d, name, each in ((one, "one", how), (two, "two", replace(how, devices=2)))
    ]
    assert kept[0].step == kept[1].step
    close(one, two)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_training_resumes_with_another_number_of_processes(
    before: int, after: int, teacher: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    how = plan(4, checkpoint_every=2, averaging=0.5)
    unbroken = fresh(teacher)
    run(unbroken, pictures, tmp_path / "a", how)

    def pull_the_plug(what: str, done: int, total: int, note: str) -> None:
        if done == 3:
            raise WorkError("power cut")

    with pytest.raises(WorkError, match="power cut"):
        run(fresh(teacher), pictures, tmp_path / "b", replace(how, devices=before), advance=pull_the_plug)
    assert checkpoint_file(tmp_path / "b").is_file()
    resumed = fresh(teacher, seed=9)
    run(resumed, pictures, tmp_path / "b", replace(how, devices=after), resume=True)
    close(unbroken, resumed)
    assert [line["step"] for line in journal(tmp_path / "b")] == [1, 2, 3, 4]


def test_a_loss_that_is_no_number_stops_all_processes_with_one_sentence(
    teacher: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    with pytest.raises(WorkError, match="no longer a number at step 2"):
        run(fresh(teacher), pictures, tmp_path, plan(4, optimiser=Sgd(lr=1e30), devices=2))


@pytest.mark.parametrize(
    "order", [NaturalOrder(13, 6, 0), BalancedOrder(["a"] * 9 + ["b"] * 4, 6, 0)], ids=["natural", "balanced"]
)
def test_shares_of_a_batch_make_the_batch_whatever_their_number(order: NaturalOrder | BalancedOrder) -> None:
    whole = list(SeededBatches(order, 7, 2))
    for n in (2, 3):
        shares = [list(SeededBatches(order, 7, 2, (rank, n))) for rank in range(n)]
        assert [[i for share in step for i in share] for step in zip(*shares, strict=True)] == whole
