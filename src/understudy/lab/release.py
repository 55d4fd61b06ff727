"""Checkpoint of RD's release -> weights of our reverse student.

The authors of RD (arXiv:2201.10703, repository hq-deng/RD4AD) save ``{"bn": ..., "decoder": ...}``: the state
dicts of the bottleneck and of the decoder, with the names of torchvision's ResNets. Our layers are the same
under other names, so no tensor changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from understudy.distill.reverse import Block, ReverseStudent
from understudy.errors import InputError

__all__ = ["load_release"]


# The release declares these but its forward pass does not use them; its own loader drops "memory" too.
_DEAD = re.compile(r"bn\.(conv4|bn4)\.|bn\..*memory")
# (level, step down) in the feature fusion -> number of the convolution and batch norm in the release.
_FUSION = {("0", "0"): 1, ("0", "1"): 2, ("1", "0"): 3}


def load_release(checkpoint: Mapping[str, Mapping[str, Tensor]], student: ReverseStudent) -> list[str]:
    """Load a released checkpoint into a student; if anything does not fit, the student stays as it was.

    Args:
        checkpoint: the two state dicts of the release, ``bn`` and ``decoder``.
        student: built by :func:`understudy.distill.reverse.reverse_student` for the backbone of the
            checkpoint (``resnet18``, ``resnet34``, ``resnet50`` or ``wide_resnet50_2``) and its levels of
            strides 4, 8 and 16, with ``signed=False`` and without plug-ins.

    Returns:
        Keys of the checkpoint that its forward pass never uses, sorted. They are not loaded.

    Raises:
        InputError: a key is missing, a key has no place in the student, or a shape differs.
    """
    for part in ("bn", "decoder"):
        if part not in checkpoint:
            raise InputError(f"a checkpoint of RD's release holds 'bn' and 'decoder', not {list(checkpoint)}")
    if any(isinstance(m, Block) and isinstance(m.last, nn.Identity) for m in student.modules()):
        raise InputError("the blocks of RD's release end in a ReLU; build the student with signed=False")
    given = {f"{part}.{key}": value for part in ("bn", "decoder") for key, value in checkpoint[part].items()}
    dead = sorted(key for key in given if _DEAD.match(key))
    state = {}
    for ours, target in student.state_dict().items():
        key = _release_name(ours)
        if key is None:
            raise InputError(f"RD's release has nothing for the student's {ours}; build it without plug-ins")
        if key not in given:
            raise InputError(f"the checkpoint has no {key}; build the student for its backbone")
        if given[key].shape != target.shape:
            raise InputError(
                f"{key} of the checkpoint is {tuple(given[key].shape)}, the student needs "
                f"{tuple(target.shape)}; build the student for the checkpoint's backbone"
            )
        state[ours] = given.pop(key)
    if spare := [key for key in given if key not in dead]:
        raise InputError(f"the student has no place for {spare[0]}; build it for the checkpoint's backbone")
    student.load_state_dict(state)
    return dead


def _release_name(ours: str) -> str | None:
    """Our name -> the release's: ``decoder.stages.0.0.body.3.weight`` -> ``decoder.layer1.0.conv2.weight``.

    ``None`` for the name of a plug-in.
    """
    match ours.split("."):
        case ["bottleneck", "to_coarsest", level, step, layer, leaf] if (level, step) in _FUSION:
            return f"bn.{'bn' if layer == '1' else 'conv'}{_FUSION[level, step]}.{leaf}"
        case ["bottleneck", "condense", block, *rest]:
            return f"bn.bn_layer.{block}.{_in_block(rest, 'downsample')}"
        case ["decoder", "stages", stage, block, *rest]:
            return f"decoder.layer{int(stage) + 1}.{block}.{_in_block(rest, 'upsample')}"
    return None


def _in_block(rest: Sequence[str], shortcut: str) -> str:
    """Name within a block -> the release's: ``body.3.weight`` -> ``conv2.weight``.

    A body is convolution, batch norm, ReLU, and the same again.
    """
    side, layer, leaf = rest
    if side == "shortcut":
        return f"{shortcut}.{layer}.{leaf}"
    number, kind = divmod(int(layer), 3)
    return f"{'bn' if kind else 'conv'}{number + 1}.{leaf}"
