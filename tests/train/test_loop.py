"""A training repeats, goes on after a kill as if nothing had happened, and never touches the teacher."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from understudy import METHODS, InputError, WorkError, fit
from understudy.cli import main
from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.distill.distiller import Distiller
from understudy.distill.teacher import Teacher
from understudy.methods import Adam, AdamW, Sgd, StableAdamW, build, settings_for
from understudy.methods.recipe import share_of_rate
from understudy.methods.stable_adamw import StableAdamWOptimiser
from understudy.runtime.preprocess import Preprocess
from understudy.train.loop import checkpoint_file, train
from understudy.train.module import TrainingModule, _partner_shift
from understudy.train.plan import TrainingPlan
from understudy.types import Pair

SMALL = {"uniad": {"depth": 1}}  # settings that make a method fast
LOOK = Preprocess(image_size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture
def pictures(factory: Path) -> PictureStore:
    return PictureStore([r.path for r in open_pictures(factory).train()], LOOK)


def plan(steps: int = 8, **changes: object) -> TrainingPlan:
    values = {
        "steps": steps,
        "batch_size": 8,
        "optimiser": Adam(),
        "seed": 0,
        "precision": "32",
        "device": torch.device("cpu"),
        "checkpoint_every": 2,
    }
    return TrainingPlan(**values | changes)


def fresh(embedded: Teacher, method: str = "snl-rd", seed: int = 0) -> Distiller:
    torch.manual_seed(seed)
    return build(method, embedded, settings_for(method, SMALL.get(method)))


def same(a: Distiller, b: Distiller) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def run(
    distiller: Distiller,
    pictures: PictureStore,
    folder: Path,
    how: TrainingPlan,
    advance: Callable[[str, int, int, str], None] = lambda *_: None,
    **options: object,
) -> Distiller:
    train(distiller, pictures, LOOK, how, folder, description="test", advance=advance, **options)
    return distiller


def run_until_a_power_cut(
    stop: int,
    distiller: Distiller,
    pictures: PictureStore,
    folder: Path,
    how: TrainingPlan,
    **options: object,
) -> None:
    def pull_the_plug(what: str, done: int, total: int, note: str) -> None:
        if done == stop:
            raise WorkError("power cut")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("understudy.train.callbacks._REPORT_EVERY", 1)
        with pytest.raises(WorkError, match="power cut"):
            run(distiller, pictures, folder, how, pull_the_plug, **options)


@pytest.mark.parametrize("method", list(METHODS))
def test_the_same_seed_gives_the_same_student_and_another_seed_another(
    method: str, teacher_of: Callable[[str], Teacher], pictures: PictureStore, tmp_path: Path
) -> None:
    teacher = teacher_of(method)
    how = plan(4, checkpoint_every=100)
    first = run(fresh(teacher, method), pictures, tmp_path / "a", how)
    again = run(fresh(teacher, method), pictures, tmp_path / "b", how)
    other = run(fresh(teacher, method), pictures, tmp_path / "c", replace(how, seed=1))
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("snl-rd", {}),
        ("snl-rd", {"schedule": "cosine"}),
        ("snl-rd", {"averaging": 0.5}),
        ("dinomaly", {"schedule": "cosine", "optimiser": StableAdamW()}),
        ("uniad", {"schedule": "step", "optimiser": AdamW()}),
    ],
)
@pytest.mark.parametrize("stop", [3, 6])
def test_a_broken_training_goes_on_to_the_result_of_an_unbroken_one(
    stop: int,
    method: str,
    changes: dict[str, object],
    teacher_of: Callable[[str], Teacher],
    pictures: PictureStore,
    tmp_path: Path,
) -> None:
    how, teacher = plan(**changes), teacher_of(method)
    unbroken = run(fresh(teacher, method), pictures, tmp_path / "a", replace(how, checkpoint_every=100))
    run_until_a_power_cut(stop, fresh(teacher, method), pictures, tmp_path / "b", how)
    resumed = run(fresh(teacher, method, seed=9), pictures, tmp_path / "b", how, resume=True)
    assert same(unbroken, resumed)


def test_gradients_are_clipped_to_the_length_that_the_optimiser_says(
    teacher_of: Callable[[str], Teacher], pictures: PictureStore, tmp_path: Path
) -> None:
    lengths: list[float] = []
    step = StableAdamWOptimiser.step

    def measuring(self: StableAdamWOptimiser, closure: Callable[[], float]) -> float | None:
        loss = step(self, closure)
        given = [p.grad.norm() for group in self.param_groups for p in group["params"]]
        lengths.append(float(torch.stack(given).norm()))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StableAdamWOptimiser, "step", measuring)
        for clip, precision in ((None, "32"), (1e-3, "32"), (1e-3, "bf16")):
            how = plan(2, optimiser=StableAdamW(clip=clip), precision=precision)
            run(fresh(teacher_of("dinomaly"), "dinomaly"), pictures, tmp_path / f"{clip}{precision}", how)
    assert min(lengths[:2]) > 2e-3
    assert lengths[2:] == pytest.approx([1e-3] * 4, rel=1e-2)


def test_each_step_takes_the_rate_of_its_schedule(
    embedded: Teacher, pictures: PictureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[float] = []

    class Noting(torch.optim.SGD):
        def step(self, closure: Callable[[], float]) -> float:  # type: ignore[override]
            taken.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(Adam, "over", lambda self, parameters: Noting(parameters, lr=self.lr))
    run(fresh(embedded, "rd"), pictures, tmp_path, plan(schedule="cosine", optimiser=Adam(lr=0.1)))
    assert taken == pytest.approx([0.1 * share_of_rate("cosine", step, 8) for step in range(8)])


def test_a_loss_is_told_which_share_of_the_training_is_done_after_a_break_too(
    embedded: Teacher, pictures: PictureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, loss = [], Distiller.loss

    def listening(self: Distiller, pairs: list[Pair], shift: int, done: float) -> dict[str, Tensor]:
        told.append(done)
        return loss(self, pairs, shift, done)

    monkeypatch.setattr(Distiller, "loss", listening)
    run_until_a_power_cut(3, fresh(embedded), pictures, tmp_path, plan(4))
    run(fresh(embedded), pictures, tmp_path, plan(4), resume=True)
    assert told == [0, 0.25, 0.5, 0.5, 0.75]  # the third step is repeated


def test_a_cosine_rises_in_a_twentieth_of_the_steps_and_falls_to_nothing() -> None:
    shares = [share_of_rate("cosine", step, 200) for step in range(200)]
    assert shares[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert shares[105] == pytest.approx(0.5)
    assert all(a >= b for a, b in pairwise(shares[9:]))
    assert shares[-1] < 1e-3
    assert {share_of_rate("constant", step, 7) for step in range(7)} == {1.0}
    assert share_of_rate("cosine", 0, 1) == 1.0


@pytest.mark.parametrize("method", list(METHODS))
def test_the_loss_falls_and_the_teacher_stays_as_it_was(
    method: str, teacher_of: Callable[[str], Teacher], pictures: PictureStore, tmp_path: Path
) -> None:
    teacher = teacher_of(method)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    distiller = fresh(teacher, method)
    losses: list[float] = []

    def note(what: str, done: int, total: int, text: str) -> None:
        assert not teacher.training
        losses.append(float(text.removeprefix("loss ")))

    of = "tuned" if method in ("uniad", "mkd", "uninformed-students") else "paper"  # papers train long
    recipe = METHODS[method].recipes[of]
    how = plan(40, checkpoint_every=100, optimiser=recipe.optimiser)
    run(distiller, pictures, tmp_path, how, note)
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(before[k], v) for k, v in teacher.state_dict().items())
    assert not any(m.training for m in distiller.modules())


@pytest.fixture
def validation(factory: Path) -> PictureStore:
    return PictureStore([r.path for r in open_pictures(factory).test() if r.is_good], LOOK)


def test_the_epoch_with_the_lowest_maps_of_validation_pictures_is_kept(
    embedded: Teacher, pictures: PictureStore, validation: PictureStore, tmp_path: Path
) -> None:
    distiller, seen = fresh(embedded, "stpm"), []
    told = iter([3.0, 1.0, float("nan"), 2.0])  # 24 pictures in batches of 8: an epoch is three steps
    error = TrainingModule.error

    def spy(lesson: TrainingModule, looked_at: PictureStore) -> float:
        assert not distiller.student.training
        images, _ = lesson._inputs(torch.stack([looked_at[i] for i in range(len(looked_at))]))
        assert error(lesson, looked_at) == pytest.approx(float(distiller(images).mean()), rel=1e-4)
        assert looked_at is validation
        seen.append({k: v.clone() for k, v in distiller.learned().items()})
        return next(told)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingModule, "error", spy)
        how = replace(plan(12), statistics="running")
        trained = train(distiller, pictures, LOOK, how, tmp_path, description="test", validation=validation)
    assert len(seen) == 4
    assert trained.step == 6
    assert all(torch.equal(v, seen[1][k]) for k, v in distiller.learned().items())
    assert not all(torch.equal(v, seen[3][k]) for k, v in distiller.learned().items())


@pytest.mark.parametrize("stop", [4, 8])
def test_a_choice_of_epoch_survives_a_break(
    stop: int,
    embedded: Teacher,
    pictures: PictureStore,
    validation: PictureStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("understudy.train.callbacks._REPORT_EVERY", 1)
    how = plan(9, optimiser=Sgd(lr=5.0))
    unbroken = run(fresh(embedded, "stpm"), pictures, tmp_path / "a", how, validation=validation)
    run_until_a_power_cut(stop, fresh(embedded, "stpm"), pictures, tmp_path / "b", how, validation=validation)
    resumed = run(
        fresh(embedded, "stpm", 9), pictures, tmp_path / "b", how, validation=validation, resume=True
    )
    assert same(unbroken, resumed)
    journals = [(tmp_path / name / ".understudy-training" / "training.jsonl").read_text() for name in "ab"]
    assert journals[0] == journals[1]


def test_the_journal_holds_every_term_and_how_centres_are_used(
    embedded: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    run(fresh(embedded), pictures, tmp_path, plan(20, checkpoint_every=100))
    first, second = (
        json.loads(line)
        for line in (tmp_path / ".understudy-training" / "training.jsonl").read_text().splitlines()
    )
    assert [first["step"], second["step"]] == [10, 20]
    terms = [second[name] for name in ("cosine", "spatial", "intra", "inter")]
    assert second["loss"] == pytest.approx(sum(terms), rel=1e-4)
    for level in range(3):
        assert 1 <= second[f"cram{level}_centers_used"] <= 50
        assert 0 < second[f"cram{level}_assignment_entropy"] <= 1


def test_a_checkpoint_leaves_the_teacher_out(
    embedded: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    run(fresh(embedded), pictures, tmp_path, plan(2))
    state = torch.load(checkpoint_file(tmp_path), weights_only=True)
    assert {k.split(".")[1] for k in state["state_dict"]} == {"student"}


@pytest.mark.parametrize("changes", [{}, {"averaging": 0.5}])
def test_resuming_at_the_last_step_gives_the_finished_student_and_its_loss(
    changes: dict[str, object], embedded: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    first, how = fresh(embedded), plan(4, **changes)
    ended = train(first, pictures, LOOK, how, tmp_path, description="t")
    again = fresh(embedded, seed=9)
    resumed = train(again, pictures, LOOK, how, tmp_path, description="t", resume=True)
    assert ended.loss is not None
    assert (resumed.loss, resumed.step) == (ended.loss, ended.step)
    assert same(first, again)


def test_seconds_go_on_from_those_before_the_stop(
    embedded: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    run_until_a_power_cut(3, fresh(embedded), pictures, tmp_path, plan(4))
    state = torch.load(checkpoint_file(tmp_path), weights_only=True)
    assert 0 < state["seconds"] < 1000
    torch.save(state | {"seconds": 1000.0}, checkpoint_file(tmp_path))
    ended = train(fresh(embedded), pictures, LOOK, plan(4), tmp_path, description="test", resume=True)
    assert 1000 < ended.seconds < 2000


def test_resuming_another_training_or_none_is_refused(
    embedded: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds no unfinished training"):
        run(fresh(embedded), pictures, tmp_path, plan(), resume=True)
    run(fresh(embedded), pictures, tmp_path, plan(2))
    with pytest.raises(InputError, match="holds another training"):
        run(fresh(embedded), pictures, tmp_path, plan(2, seed=5), resume=True)
    with pytest.raises(InputError, match="holds another training"):
        run(fresh(embedded), pictures, tmp_path, plan(2, schedule="cosine"), resume=True)
    whole = checkpoint_file(tmp_path).read_bytes()
    for place in range(1, 8):  # one bit of a weight makes another student, and torch checks no checksum
        flipped = bytearray(whole)
        flipped[len(whole) * place // 8] ^= 1
        checkpoint_file(tmp_path).write_bytes(flipped)
        with pytest.raises(InputError, match=r"last\.ckpt is damaged; start anew with --overwrite"):
            run(fresh(embedded), pictures, tmp_path, plan(2), resume=True)
    checkpoint_file(tmp_path).write_bytes(b"half")
    with pytest.raises(InputError, match=r"last\.ckpt is damaged; start anew with --overwrite"):
        run(fresh(embedded), pictures, tmp_path, plan(2), resume=True)


def test_a_broken_training_goes_on_to_the_same_result_with_its_pictures_kept_elsewhere(
    embedded: Teacher, pictures: PictureStore, factory: Path, tmp_path: Path
) -> None:
    unbroken = run(fresh(embedded, "rd"), pictures, tmp_path / "a", plan())
    run_until_a_power_cut(5, fresh(embedded, "rd"), pictures, tmp_path / "b", plan())
    elsewhere = PictureStore([r.path for r in open_pictures(factory).train()], LOOK, budget=0, workers=2)
    resumed = run(fresh(embedded, "rd", seed=9), elsewhere, tmp_path / "b", plan(), resume=True)
    assert same(unbroken, resumed)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_is_gone_when_it_has_to_be_decoded_again_is_named_in_one_sentence(
    workers: int, embedded: Teacher, factory: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(factory / "nut" / "train" / "good", tmp_path / "good"))
    pictures = PictureStore(sorted(copy.iterdir()), LOOK, budget=0, workers=workers)
    gone = copy / "002.png"
    gone.unlink()
    with pytest.raises(InputError) as caught:
        run(fresh(embedded, "rd"), pictures, tmp_path / "m", plan(2, batch_size=6))
    assert str(caught.value) == f"{gone} cannot be read: No such file or directory"


def test_a_killed_worker_stops_the_training_with_one_sentence(
    embedded: Teacher, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = PictureStore([r.path for r in open_pictures(factory).train()], LOOK, budget=0, workers=1)
    monkeypatch.setattr(PictureStore, "__getitem__", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    # Lightning took torch's signal handler away after an earlier training; without it this takes long.
    monkeypatch.setattr("torch.utils.data._utils.signal_handling._SIGCHLD_handler_set", False, raising=False)
    with pytest.raises(WorkError, match=r"decodes pictures was killed.*--resume --workers 0"):
        run(fresh(embedded, "rd"), pictures, tmp_path, plan(2))


def test_a_balanced_training_differs_from_a_natural_one_and_goes_on_after_a_break(
    embedded: Teacher, pictures: PictureStore, factory: Path, tmp_path: Path
) -> None:
    balanced = {"categories": [r.category for r in open_pictures(factory).train()]}
    natural = run(fresh(embedded, "rd"), pictures, tmp_path / "n", plan())
    unbroken = run(fresh(embedded, "rd"), pictures, tmp_path / "a", plan(), **balanced)
    run_until_a_power_cut(5, fresh(embedded, "rd"), pictures, tmp_path / "b", plan(), **balanced)
    with pytest.raises(InputError, match="holds another training"):
        run(fresh(embedded, "rd"), pictures, tmp_path / "b", plan(), resume=True)
    resumed = run(fresh(embedded, "rd", 9), pictures, tmp_path / "b", plan(), resume=True, **balanced)
    assert same(unbroken, resumed)
    assert not same(unbroken, natural)


def test_a_full_disk_keeps_the_last_checkpoint_and_says_how_to_go_on(
    embedded: Teacher, pictures: PictureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(fresh(embedded), pictures, tmp_path, plan(2))
    kept = checkpoint_file(tmp_path).read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lightning.fabric.plugins.io.torch_io._atomic_save", full)
    with pytest.raises(WorkError, match=r"stopped: No space left.*--resume"):
        run(fresh(embedded), pictures, tmp_path, plan(4))
    assert checkpoint_file(tmp_path).read_bytes() == kept


def test_a_loss_that_is_no_number_stops_the_training(
    embedded: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    distiller = fresh(embedded)
    with torch.no_grad():
        next(distiller.student.parameters()).fill_(float("nan"))
    with pytest.raises(WorkError, match="no longer a number at step"):
        run(distiller, pictures, tmp_path, plan(2))


def test_bf16_trains_close_to_float32(embedded: Teacher, pictures: PictureStore, tmp_path: Path) -> None:
    images = torch.randn(4, 3, 64, 64)
    losses = []
    for precision in ("32", "bf16"):
        trained = run(fresh(embedded), pictures, tmp_path / precision, plan(10, precision=precision))
        losses.append(sum(trained.training_loss(images).values()).item())
    assert losses[1] == pytest.approx(losses[0], rel=0.25)


def test_a_partner_is_never_the_picture_itself() -> None:
    shifts = {_partner_shift(0, step, 5) for step in range(200)}
    assert shifts == {1, 2, 3, 4}
    assert _partner_shift(0, 7, 5) == _partner_shift(0, 7, 5)


def test_a_killed_process_resumes_from_the_command_line(factory: Path, tmp_path: Path) -> None:
    def words(out: str, *more: str) -> list[str]:
        options = "--image-size 64 --max-steps 12 --batch-size 4 --strides 8,16 --precision 32 --device cpu"
        options += " --checkpoint-every 2"
        return ["fit", str(factory), "--out", str(tmp_path / out), *options.split(), *more]

    assert main(words("whole")) == 0
    running = subprocess.Popen([sys.executable, "-c", SLOW, *words("cut")], stderr=subprocess.DEVNULL)
    checkpoint = checkpoint_file(tmp_path / "cut")
    while not checkpoint.is_file():
        assert running.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "cut" / "manifest.json").exists()
    assert main(words("cut", "--resume")) == 0
    whole, cut = ((tmp_path / n / "student.safetensors").read_bytes() for n in ("whole", "cut"))
    assert whole == cut
    assert not checkpoint.parent.exists()


# The command line, slowed down because it is to be killed.
SLOW = """
import sys, time
import understudy.train.loop, understudy.cli
step = understudy.train.loop.TrainingModule.training_step
def slow(*args):
    time.sleep(0.4)
    return step(*args)
understudy.train.loop.TrainingModule.training_step = slow
sys.exit(understudy.cli.main())
"""


def test_a_random_teacher_and_its_student_repeat_with_the_seed(factory: Path, tmp_path: Path) -> None:
    options = {"image_size": 64, "batch_size": 4, "strides": (8, 16), "device": "cpu", "precision": "32"}
    options |= {"max_steps": 2, "teacher": "resnet18", "teacher_weights": "random", "holdout": 0.0}
    first, again = (fit(factory / "nut", tmp_path / name, **options) for name in "ab")
    assert first.manifest.files == again.manifest.files
    other = fit(factory / "nut", tmp_path / "c", **options | {"seed": 1})
    assert other.manifest.teacher.sha256 != first.manifest.teacher.sha256
