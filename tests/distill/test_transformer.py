"""Levels of a plain transformer: means of blocks, layer-normed, without class and register tokens."""

from __future__ import annotations

import pytest
import timm
import torch
from torch.nn import functional as F

from understudy import InputError
from understudy.distill.teacher import Teacher
from understudy.distill.transformer import BlockMeans, choose_blocks
from understudy.distill.weights import load_teacher
from understudy.types import Level


def test_a_level_is_the_normed_mean_of_its_blocks_without_class_and_register_tokens() -> None:
    whole = timm.create_model("tiny_dinov2", img_size=56).eval()
    levels = BlockMeans("tiny_dinov2", 56, ((1, 2), (4,))).eval()
    levels.model.load_state_dict(whole.state_dict(), strict=False)
    outputs: list[torch.Tensor] = []
    for block in whole.blocks:
        block.register_forward_hook(lambda module, given, out: outputs.append(out))
    picture = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        whole(picture)
        found = levels(picture)
    assert whole.num_prefix_tokens == 3
    assert levels.levels == [Level(32, 14)] * 2
    for level, mean in zip(found, ((outputs[1] + outputs[2]) / 2, outputs[4]), strict=True):
        expected = F.layer_norm(mean[:, 3:], (32,))
        assert torch.allclose(level[:, :, 2, 1], expected[:, 2 * 4 + 1], atol=1e-5)
        assert torch.allclose(level.flatten(2).transpose(1, 2), expected, atol=1e-5)


def test_all_cells_have_one_length_however_large_the_outputs_of_a_block_are() -> None:
    levels = BlockMeans("tiny_dinov2", 56, ((3,),)).eval()
    with torch.no_grad():
        levels.model.blocks[3].mlp.fc2.bias[5] = 1e4
        level = levels(torch.randn(1, 3, 56, 56))[0]
    assert torch.allclose(level.mean(dim=1), torch.zeros(1, 4, 4), atol=1e-4)
    assert torch.allclose(level.var(dim=1, correction=0), torch.ones(1, 4, 4), atol=1e-3)


def test_blocks_behind_the_last_one_are_not_built() -> None:
    assert len(BlockMeans("tiny_dinov2", 70, ((2, 3), (6, 7))).model.blocks) == 8


@pytest.mark.parametrize(
    ("name", "times", "expected"),
    [
        ("vit_small_patch14_dinov2.lvd142m", 2, ((2, 3, 4, 5), (6, 7, 8, 9))),
        ("vit_small_patch14_dinov2", 1, ((2, 3, 4, 5, 6, 7, 8, 9),)),
        ("vit_base_patch14_reg4_dinov2.lvd142m", 4, ((2, 3), (4, 5), (6, 7), (8, 9))),
        ("vit_large_patch14_dinov2", 2, ((4, 6, 8, 10), (12, 14, 16, 18))),
        ("vit_small_patch16_224", 2, None),
        ("resnet18", 2, None),
        ("no_dinov2", 2, None),
    ],
)
def test_eight_blocks_of_a_dinov2_are_spread_over_the_levels(
    name: str, times: int, expected: tuple[tuple[int, ...], ...] | None
) -> None:
    assert choose_blocks(name, (14,) * times) == expected


def test_a_teacher_has_these_levels_by_its_name_alone() -> None:
    for times in (1, 2, 4, 8):
        teacher, _, _ = load_teacher("tiny_dinov2", (14,) * times, "random", 84)
        assert teacher.blocks == choose_blocks("tiny_dinov2", (14,) * times)
        assert [tuple(f.shape) for f in teacher(torch.randn(2, 3, 84, 84))] == [(2, 32, 6, 6)] * times
        assert teacher.is_signed()


def test_a_number_of_levels_and_a_stride_that_it_does_not_have_are_one_sentence() -> None:
    with pytest.raises(
        InputError, match=r"cannot be spread over 3 levels; name the stride 14 once, twice, 4 or"
    ):
        load_teacher("tiny_dinov2", (14, 14, 14), "random", 70)
    with pytest.raises(InputError, match=r"tiny_dinov2 has no level of stride 8"):
        load_teacher("tiny_dinov2", (8, 14), "random", 70)


@pytest.mark.parametrize(("size", "near"), [(256, "252 or 266"), (69, "56 or 70"), (8, "14")])
def test_a_size_that_is_no_multiple_of_a_cell_is_refused_with_the_nearest_ones(size: int, near: str) -> None:
    with pytest.raises(
        InputError, match=f"cells of 14 pixels, and {size} is no .*; use --image-size {near}$"
    ):
        Teacher("tiny_dinov2", (14, 14), size, ((2, 3), (4, 5)))


@pytest.mark.parametrize("blocks", [(), ((),), ((2, 12),), ((-1,),)])
def test_blocks_that_are_not_there_are_refused(blocks: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(InputError, match="tiny_dinov2 has 12 blocks to make levels of"):
        Teacher("tiny_dinov2", (14,), 70, blocks)


@pytest.mark.parametrize("name", ["resnet18", "resnet17"])
def test_what_is_no_plain_transformer_has_no_means_of_blocks(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} is no plain transformer of timm"):
        Teacher(name, (8,), 64, ((2,),))
