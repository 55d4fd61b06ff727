"""Over two processes a batch is one batch: the same order, statistics, losses and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from understudy.distill.across import batchnorm_across, gather, gather_pairs
from understudy.distill.cram import CRAM
from understudy.distill.distiller import Distiller
from understudy.distill.weights import load_teacher
from understudy.methods import build, settings_for
from understudy.progress import Advance, ignore_progress
from understudy.train.copies import in_copies
from understudy.train.processes import ALONE, Group
from understudy.types import Pair

CPU = torch.device("cpu")


def own(batch: Tensor, group: Group) -> Tensor:
    return batch.chunk(group.size)[group.rank]


def in_two(work: Callable[[Group], object]) -> object:
    return in_copies(2, lambda group, advance: work(group), ignore_progress)


def test_shares_come_together_in_the_order_of_the_ranks_and_their_gradients_go_back() -> None:
    batch = torch.randn(4, 3, 2, 5)
    weights = torch.randn(4, 3, 2, 5)

    def work(group: Group) -> tuple[Tensor, Tensor]:
        share = own(batch, group).clone().requires_grad_()
        whole = gather(share)
        (whole * weights).sum().backward()
        assert share.grad is not None
        return whole.detach(), share.grad

    whole, gradient = in_two(work)
    assert torch.equal(whole, batch)
    assert torch.equal(gradient, 2 * weights[:2])  # the mean over two processes is the gradient


def test_a_level_that_is_in_two_pairs_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Tensor] = []
    monkeypatch.setattr("understudy.distill.across.gather", lambda share: sent.append(share) or share)
    level, valid = torch.zeros(1, 2, 3, 3), torch.ones(1, 1, 3, 3)
    gather_pairs([Pair(level, level + 1, valid), Pair(level, level + 2)])
    assert len(sent) == 4


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("kind", ["plain", "activated"])
def test_batch_normalisation_is_that_of_the_whole_batch(momentum: float | None, kind: str) -> None:
    def network() -> nn.Sequential:
        torch.manual_seed(0)
        layer = nn.BatchNorm2d(3) if kind == "plain" else BatchNormAct2d(3)
        layer.momentum = momentum
        nn.init.normal_(layer.weight)
        return nn.Sequential(layer, nn.Conv2d(3, 2, 1)).double()

    batch = torch.randn(6, 3, 4, 4, dtype=torch.float64) * 3 + 1
    weights = torch.randn(6, 2, 4, 4, dtype=torch.float64)

    def work(group: Group) -> tuple[Tensor, Tensor, list[Tensor], dict[str, Tensor]]:
        net, share = network(), own(batch, group).clone().requires_grad_()
        layers = list(net)
        with batchnorm_across(net, CPU) if group.size > 1 else pytest.MonkeyPatch.context():
            for _ in range(2):
                out = net(share)
            (out * own(weights, group)).sum().backward()
        assert [type(layer) for layer in net] == [type(layer) for layer in layers]
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        if group.size > 1:
            for gradient in gradients:
                distributed.all_reduce(gradient)
        assert share.grad is not None
        return out.detach(), share.grad, gradients, net.state_dict()

    alone, first = work(ALONE), in_two(work)
    assert torch.allclose(first[0], alone[0][:3], atol=1e-12)
    assert torch.allclose(first[1], alone[1][:3], atol=1e-12)
    for mine, theirs in zip(first[2], alone[2], strict=True):
        assert torch.allclose(mine, theirs, atol=1e-12)
    assert list(first[3]) == list(alone[3])
    for mine, theirs in zip(first[3].values(), alone[3].values(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-12)


def test_one_value_a_channel_is_refused_only_if_it_is_the_only_one_of_all_processes() -> None:
    def work(group: Group) -> Tensor:
        net = nn.Sequential(nn.BatchNorm2d(2))
        with batchnorm_across(net, CPU):
            out: Tensor = net(torch.full((1, 2, 1, 1), float(group.rank)))
        return out.detach()

    assert torch.allclose(in_two(work), torch.full((1, 2, 1, 1), -1.0), atol=1e-3)


@pytest.mark.parametrize(
    ("method", "settings", "rounding"),
    [
        ("snl-rd", {}, 1e-3),  # partners of inter-affinity are in the other process
        ("snl-rd", {"cosine": "hard"}, 1e-3),  # the hardest cells of the whole batch
        ("rd", {"cosine": "easy"}, 1e-3),
        ("stpm", {}, 2e-2),  # rounding moves some cells over the kink of a ReLU, layer after layer
    ],
)
def test_gradients_are_those_of_one_process(
    method: str, settings: dict[str, object], rounding: float
) -> None:
    teacher, _, _ = load_teacher("tf_efficientnet_lite0", (8, 16))
    torch.manual_seed(0)
    distiller = build(method, teacher, settings_for(method, settings)).train()
    images = F.interpolate(torch.randn(8, 3, 16, 16), (64, 64), mode="bilinear")

    def work(group: Group) -> tuple[float, Tensor]:
        distiller.zero_grad()
        if group.size == 1:
            return losses(distiller, distiller.pairs(images))
        with batchnorm_across(distiller.student, CPU):
            loss, gradient = losses(distiller, gather_pairs(distiller.pairs(own(images, group))))
        distributed.all_reduce(gradient)
        return loss, gradient / group.size

    (loss, alone), (shared_loss, shared) = work(ALONE), in_two(work)
    assert shared_loss == pytest.approx(loss, rel=1e-5)
    assert float((shared - alone).norm()) < rounding * float(alone.norm())


def losses(distiller: Distiller, pairs: list[Pair]) -> tuple[float, Tensor]:
    loss = torch.stack(list(distiller.loss(pairs, 3, done=0.5).values())).sum()
    loss.backward()
    gradients = [p.grad.flatten() for p in distiller.student.parameters() if p.grad is not None]
    return float(loss.detach()), torch.cat(gradients)


def test_the_use_of_centres_is_told_of_the_whole_batch() -> None:
    cram, batch = CRAM(4, 3, init="normal"), torch.randn(4, 4, 3, 3)

    def work(group: Group) -> dict[str, float]:
        cram.train()(own(batch, group))
        return cram.usage(gather if group.size > 1 else None)

    def whole(group: Group, advance: Advance = ignore_progress) -> dict[str, float]:
        return work(group)

    assert in_two(work) == pytest.approx(whole(ALONE), rel=1e-5)
