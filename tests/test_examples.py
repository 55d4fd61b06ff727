"""The examples do what they say: the files of STPM and UniAD equal the library, the new method works."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

import understudy
from understudy.distill.teacher import Teacher
from understudy.distill.weights import load_teacher
from understudy.methods import METHODS, AdamW, Recipe, Sgd, build, settings_for
from understudy.runtime.images import decode_picture
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.walk import find_pictures

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The file's names, working on 64-pixel pictures."""
    names = runpy.run_path(str(EXAMPLES / "stpm_from_scratch.py"))
    for function in ("read", "anomaly_map"):
        names[function].__globals__["SIZE"] = 64
    return SimpleNamespace(**names)


@pytest.fixture
def teacher() -> Teacher:
    loaded, _, _ = load_teacher("resnet18", (4, 8, 16), "random", 64)
    return loaded


def test_every_file_is_short() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES.glob("*.py")}
    assert lines["stpm_from_scratch.py"] < 150
    assert lines["uniad_from_scratch.py"] < 150
    assert lines["your_own_method.py"] < 80


def test_stpm_from_scratch_trains_and_scores_as_the_library_does(
    scratch: SimpleNamespace, teacher: Teacher
) -> None:
    distiller = build("stpm", teacher, settings_for("stpm")).train()
    own_teacher = scratch.make_teacher(teacher.backbone.state_dict())
    own = scratch.make_student()
    own.load_state_dict(distiller.student.network.state_dict())
    recipe = METHODS["stpm"].recipes["paper"]
    assert recipe == Recipe(Sgd(0.4, 0.9, 1e-4), batch_size=32, validation=0.2, choose_epoch=True)
    theirs = torch.optim.SGD(own.parameters(), lr=0.4, momentum=0.9, weight_decay=1e-4)
    ours = recipe.optimiser.over(distiller.student.parameters())
    for _ in range(3):
        images = torch.randn(4, 3, 64, 64)
        loss = scratch.loss(scratch.distances(own_teacher, own, images))
        (library,) = distiller.training_loss(images).values()
        torch.testing.assert_close(library, loss, rtol=1e-4, atol=1e-5)
        for optimiser, value in ((theirs, loss), (ours, library)):
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
    pairs = zip(own.parameters(), distiller.student.parameters(), strict=True)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in pairs)
    own.load_state_dict(distiller.student.network.state_dict())
    with torch.no_grad():
        found = scratch.anomaly_map(scratch.distances(own_teacher, own.eval(), images))
        anomaly_map, scores = distiller.eval().score(images)
    torch.testing.assert_close(anomaly_map[:, 0], found, rtol=1e-4, atol=1e-6)
    assert torch.equal(scores, anomaly_map.flatten(1).amax(1))


def test_fresh_students_of_both_start_from_one_distribution(
    scratch: SimpleNamespace, teacher: Teacher
) -> None:
    torch.manual_seed(3)
    own = scratch.make_student().state_dict()
    torch.manual_seed(3)
    library = build("stpm", teacher, settings_for("stpm")).student.network.state_dict()
    assert all(torch.equal(value, library[name]) for name, value in own.items())


def test_stpm_from_scratch_reads_pictures_as_the_library_does(
    scratch: SimpleNamespace, factory: Path
) -> None:
    paths = find_pictures(factory / "nut" / "train")[:2]
    look = Preprocess(image_size=64, mean=tuple(scratch.MEAN.tolist()), std=tuple(scratch.STD.tolist()))
    for path, own in zip(paths, scratch.read(paths), strict=True):
        library = look.normalise(look.resize(decode_picture(path.read_bytes(), path))[None])[0]
        torch.testing.assert_close(own, torch.from_numpy(library.copy()), rtol=1e-4, atol=1e-5)


def test_stpm_from_scratch_keeps_the_epoch_that_validation_likes_best(
    scratch: SimpleNamespace, teacher: Teacher, capsys: pytest.CaptureFixture[str]
) -> None:
    own_teacher = scratch.make_teacher(teacher.backbone.state_dict())
    student, images = scratch.make_student(), torch.randn(10, 3, 64, 64)
    seen: list[Tensor] = []
    validate = scratch.train.__globals__["validate"]

    def spy(teacher: object, student: object, held_out: Tensor) -> float:
        seen.append(held_out)
        return float(validate(teacher, student, held_out))

    scratch.train.__globals__["validate"] = spy
    scratch.train(own_teacher, student, images, epochs=3, batch_size=4)
    errors = [float(line.rsplit(" ", 1)[1]) for line in capsys.readouterr().out.splitlines()]
    assert len(errors) == 3
    assert validate(own_teacher, student, seen[0]) == pytest.approx(min(errors), rel=1e-2)


@pytest.fixture
def uniad() -> SimpleNamespace:
    """The names of UniAD's file."""
    return SimpleNamespace(**runpy.run_path(str(EXAMPLES / "uniad_from_scratch.py")))


def test_uniad_from_scratch_trains_and_scores_as_the_library_does(
    uniad: SimpleNamespace, teacher: Teacher
) -> None:
    distiller = build("uniad", teacher, settings_for("uniad")).train()
    own = uniad.UniAD(64 + 128 + 256, grid=16)
    own.load_state_dict(distiller.student.state_dict())
    recipe = METHODS["uniad"].recipes["paper"]
    assert recipe == Recipe(AdamW(1e-4, (0.9, 0.999), 1e-4, 0.1), schedule="step", image_score="own")
    theirs = torch.optim.AdamW(own.parameters(), lr=1e-4, weight_decay=1e-4)
    ours = recipe.optimiser.over(distiller.student.parameters())
    images = torch.randn(2, 3, 64, 64)
    features = uniad.stack(teacher(images), 16)
    for step in range(2):
        torch.manual_seed(step)
        loss = torch.nn.functional.mse_loss(own(features), features)
        torch.manual_seed(step)
        (library,) = distiller.training_loss(images).values()
        torch.testing.assert_close(library, loss, rtol=1e-5, atol=1e-5)
        for optimiser, value in ((theirs, loss), (ours, library)):
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
    pairs = [(own.get_parameter(name), p) for name, p in distiller.student.named_parameters()]
    assert all(torch.allclose(a, b, atol=4e-4) for a, b in pairs)  # a rate's length for each step and side
    own.load_state_dict(distiller.student.state_dict())
    with torch.no_grad():
        rebuilt = own.eval()(features)
        (pair,) = distiller.eval().pairs(images)
        anomaly_map, scores = distiller.score(images)
    torch.testing.assert_close(pair.student, rebuilt, rtol=1e-5, atol=1e-5)
    found = uniad.anomaly_map(features, rebuilt, 64)
    torch.testing.assert_close(anomaly_map, found, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scores, uniad.score(found), rtol=1e-5, atol=1e-5)


def test_uniad_from_scratch_learns_a_folder_and_scores_a_picture(
    uniad: SimpleNamespace, factory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = uniad.main.__globals__
    for name, value in {"SIZE": 64, "GRID": 8, "DEPTH": 1}.items():
        monkeypatch.setitem(names, name, value)
    monkeypatch.setitem(names, "UniAD", lambda channels: uniad.UniAD(channels, 8))
    create = names["timm"].create_model
    monkeypatch.setattr(
        names["timm"], "create_model", lambda name, **o: create(name, **o | {"pretrained": False})
    )
    good = factory / "nut" / "train" / "good"
    uniad.main(str(good), str(find_pictures(good)[0]), epochs=2, name="test_efficientnet")
    assert capsys.readouterr().out.startswith("score ")


def test_your_own_method_finds_defects_and_is_saved_and_loaded_like_any_other(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = understudy.fit
    quick = {"image_size": 64, "max_steps": 80, "device": "cpu", "precision": "32"}
    quick |= {"settings": {"rank": 8}, "categories": ("linen", "veneer")}
    monkeypatch.setattr(understudy, "fit", lambda *a, **k: fit(*a, **k, **quick), raising=False)
    try:
        names = runpy.run_path(str(EXAMPLES / "your_own_method.py"))
        names["main"](str(factory), str(tmp_path / "model"))
        model = understudy.load(tmp_path / "model", "cpu")
    finally:
        METHODS.pop("subspace", None)
    assert model.manifest.method == "subspace"
    printed = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split(":")[0] for line in printed] == ["linen", "veneer"]
    assert all(float(line.rsplit(" ", 1)[1]) > 0.7 for line in printed)
