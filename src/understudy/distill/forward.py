"""The forward student: images -> features, trained to equal the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from understudy.distill.acceleration import prepare_convolutions
from understudy.distill.backbone import channels_first, plug_in_behind_levels
from understudy.distill.teacher import Teacher
from understudy.types import Features, Pair

__all__ = ["ForwardStudent"]


class ForwardStudent(nn.Module):
    """Forward student: (B, 3, S, S) images -> one Pair a level. STPM, arXiv:2103.04257.

    It has the architecture of the teacher, starts from random weights and is trained as a whole. It does not
    read the teacher's features; they only form the other half of each pair.

    Args:
        teacher: teacher whose architecture, levels and picture size it copies.
        plug_ins: one module (B, D, H, W) -> (B, D, H, W) a level, finest first; none by default.
        in_line: whether the next stage reads the output of a plug-in, or else its input.

    Raises:
        InputError: ``in_line`` for a backbone whose levels are not the output of a module.
    """

    sees_images = True

    def __init__(self, teacher: Teacher, plug_ins: Sequence[nn.Module] = (), *, in_line: bool = True) -> None:
        super().__init__()
        self.levels = teacher.levels
        self.network = teacher.new_network()
        _open_residual_branches(self.network)
        prepare_convolutions(self.network)
        self.plug_ins = nn.ModuleList()
        if plug_ins and in_line:
            plug_in_behind_levels(self.network, plug_ins)
        else:
            self.plug_ins.extend(plug_ins or [nn.Identity() for _ in self.levels])

    def forward(self, images: Tensor, features: Features) -> list[Pair]:  # noqa: D102
        own = channels_first(self.network(images), self.levels)
        for i, plug_in in enumerate(self.plug_ins):
            own[i] = plug_in(own[i])
        return [Pair(t, s) for t, s in zip(features, own, strict=True)]


def _open_residual_branches(network: nn.Module) -> None:
    """Set batch-norm scales that timm initialises with zero to one.

    torchvision's networks start with one, and STPM uses those.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.affine and not module.weight.any():
            nn.init.ones_(module.weight)
