"""A patch net learns what a backbone says of patches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.distill.patch_net import PatchNet
from understudy.distill.teacher import Teacher
from understudy.runtime.preprocess import Preprocess
from understudy.train.patch_teacher import PatchSampler, distill_patch_teacher

LOOK = Preprocess(image_size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def windows(factory: Path) -> PictureStore:
    return PictureStore([r.path for r in open_pictures(factory).train()], LOOK)


@pytest.fixture(scope="module")
def backbone() -> Teacher:
    torch.manual_seed(0)
    return Teacher("test_resnet", (8, 16), 64)


def test_its_loss_falls_and_the_same_seed_gives_the_same_net(
    windows: PictureStore, backbone: Teacher
) -> None:
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    nets, losses, told = [], [], []
    for seed, steps in ((0, 3), (0, 3), (1, 3), (0, 30)):
        torch.manual_seed(0)
        net = PatchNet(17)
        how = {"steps": steps, "seed": seed, "batch_size": 8, "advance": lambda *a: told.append(a)}
        how["weights"] = (1.0, 0.0, 0.0)
        losses.append(distill_patch_teacher(net, backbone, windows, LOOK, **how))  # type: ignore[arg-type]
        nets.append(torch.cat([p.flatten() for p in net.parameters()]))
        assert not any(p.requires_grad for p in net.parameters())
    assert sum(losses[-1][-9:]) < 0.7 * sum(losses[-1][:9])
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])
    assert [each[:3] for each in told[2:5]] == [
        ("patch net of 17", *at) for at in ((3, 3), (10, 30), (20, 30))
    ]
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


def test_the_margin_needs_the_nearby_and_the_other_patch(windows: PictureStore, backbone: Teacher) -> None:
    losses = distill_patch_teacher(PatchNet(17), backbone, windows, LOOK, 1, batch_size=3, weights=(0, 1, 0))
    assert losses == pytest.approx([10], abs=1)  # descriptors of a new net are far less than the margin apart


def test_patches_are_cut_as_the_paper_says(windows: PictureStore) -> None:
    anchor, positive, negative = PatchSampler(windows, 17, seed=3).draw(200)
    assert anchor.shape == positive.shape == negative.shape == (200, 17, 17, 3)
    assert min(anchor.min(), positive.min()) >= 0
    assert max(anchor.max(), positive.max()) <= 255
    grey = (anchor.amax(-1) - anchor.amin(-1)).amax((1, 2)) < 1e-3
    assert 8 <= int(grey.sum()) <= 60  # a tenth, and pictures without colour
    apart = [(anchor - each).square().mean((1, 2, 3)).median() for each in (positive, negative)]
    assert apart[0] < apart[1]
    again, _, _ = PatchSampler(windows, 17, seed=3).draw(2)
    assert torch.equal(again, anchor[:2])


def test_a_backbone_of_one_size_gets_pictures_of_that_size(windows: PictureStore) -> None:
    transformer = Teacher("test_vit", (16, 16), 32)
    torch.manual_seed(0)
    losses = distill_patch_teacher(PatchNet(17), transformer, windows, LOOK, 1, batch_size=2)
    assert losses[0] > 0
