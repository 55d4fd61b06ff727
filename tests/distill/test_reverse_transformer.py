"""The reverse transformer student: its attention, its pairing of blocks and levels, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from understudy.distill.cram import CRAM
from understudy.distill.reverse_transformer import LinearAttention, TransformerStudent
from understudy.errors import InputError
from understudy.types import Level

WIDTH, GRID = 128, (3, 5)
LEVELS = [Level(WIDTH, 14)] * 2


def features(n: int = 2, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    drawn = [torch.randn(n, WIDTH, *GRID, dtype=dtype) for _ in LEVELS]
    return [f.contiguous(memory_format=torch.channels_last) for f in drawn]


def explicit(attention: LinearAttention, tokens: Tensor) -> Tensor:
    """With the n x n matrix of each head, in double precision."""
    b, n, width = tokens.shape
    each = width // attention.heads
    with torch.no_grad():
        q, k, v = attention.qkv(tokens).double().split(width, dim=2)
        heads = []
        for h in range(attention.heads):
            part = slice(h * each, (h + 1) * each)
            f_q, f_k = (torch.where(u > 0, u + 1, u.exp()) for u in (q[..., part], k[..., part]))
            matrix = f_q @ f_k.transpose(1, 2)
            assert matrix.shape == (b, n, n)
            heads.append(matrix / (matrix.sum(2, keepdim=True) + 1e-6) @ v[..., part])
        out: Tensor = attention.out(torch.cat(heads, dim=2).float())
        return out


def test_linear_attention_is_that_of_the_whole_matrix() -> None:
    attention, tokens = LinearAttention(WIDTH, 2), torch.randn(3, 11, WIDTH)
    assert torch.allclose(attention(tokens), explicit(attention, tokens), atol=1e-5)


def test_attention_to_equal_values_gives_that_value_everywhere() -> None:
    attention = LinearAttention(WIDTH, 2)
    with torch.no_grad():
        attention.qkv.weight[2 * WIDTH :] = 0  # the values are the bias
    expected = attention.out(attention.qkv.bias[2 * WIDTH :])
    found = attention(torch.randn(2, 7, WIDTH))
    assert torch.allclose(found, expected.expand_as(found), atol=1e-5)


class _Gives(nn.Module):
    """A block that gives the same tokens whatever it is given."""

    def __init__(self, level: Tensor) -> None:
        super().__init__()
        self.tokens = level.flatten(2).mT

    def forward(self, tokens: Tensor) -> Tensor:
        return self.tokens


def test_the_last_blocks_are_paired_with_the_first_level() -> None:
    student, given = TransformerStudent(LEVELS, 8).eval(), features()
    student.blocks = nn.ModuleList(_Gives(given[1] if k < 4 else given[0]) for k in range(8))
    for pair in student(None, given):
        assert torch.equal(pair.teacher, pair.student)
    student.blocks = nn.ModuleList(_Gives(given[0] if k < 4 else given[1]) for k in range(8))
    for pair in student(None, given):
        assert not torch.allclose(pair.teacher, pair.student)


def test_a_level_is_the_mean_of_its_blocks_outputs_and_the_input_the_mean_of_the_levels() -> None:
    levels = [Level(WIDTH, 14)] * 3
    student = TransformerStudent(levels, 6).eval()
    given = [torch.randn(2, WIDTH, *GRID) for _ in levels]
    tokens = student.bottleneck(((given[0] + given[1] + given[2]) / 3).flatten(2).transpose(1, 2))
    outputs = []
    for block in student.blocks:
        tokens = block(tokens)
        outputs.append(tokens)
    expected = [(outputs[k] + outputs[k + 1]) / 2 for k in (4, 2, 0)]
    for pair, teacher, tokens in zip(student(None, given), given, expected, strict=True):
        assert pair.teacher is teacher
        assert torch.allclose(pair.student.flatten(2).mT, tokens, atol=1e-5)


def test_it_looks_at_no_picture_repeats_when_scoring_and_is_noisy_in_training() -> None:
    student, given = TransformerStudent(LEVELS, 2), features()
    assert not student.sees_images

    def outputs() -> Tensor:
        return torch.stack([pair.student for pair in student(None, given)])

    assert not torch.equal(outputs(), outputs())
    student.eval()
    assert torch.equal(outputs(), outputs())
    quiet = TransformerStudent(LEVELS, 2, dropout=0)
    assert torch.equal(quiet(None, given)[0].student, quiet(None, given)[0].student)


def test_dropout_is_the_same_however_features_lie_in_memory() -> None:
    student, given = TransformerStudent(LEVELS, 2), features()
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        pairs = student(None, [f.contiguous(memory_format=layout) for f in given])
        found.append(torch.stack([pair.student for pair in pairs]))
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_it_has_the_weights_that_the_paper_counts_and_starts_narrow() -> None:
    student = TransformerStudent([Level(384, 14)] * 2, 8)
    assert sum(p.numel() for p in student.parameters()) == pytest.approx(15.38e6, rel=1e-3)
    assert student.blocks[0].attention.heads == 6
    for layer in student.modules():
        if isinstance(layer, nn.Linear):
            assert layer.weight.abs().max() <= 0.03
            assert layer.weight.detach().std() == pytest.approx(0.01, rel=0.05)
            assert not layer.bias.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_runs_in_half_precision_close_to_float32_and_adds_in_float32(dtype: torch.dtype) -> None:
    student, given = TransformerStudent(LEVELS, 4).eval(), features(dtype=dtype)
    expected = student(None, [f.float() for f in given])
    with torch.autocast("cpu", torch.bfloat16):
        found = student(None, given)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.student.dtype == torch.float32
        error = (ours.student - theirs.student).norm() / theirs.student.norm()
        assert 0 < error < 0.03
        ours.student.sum().backward(retain_graph=True)


def test_plug_ins_stand_behind_their_level_and_no_block_reads_them() -> None:
    crams = [CRAM(WIDTH, 3), CRAM(WIDTH, 3)]
    torch.manual_seed(1)
    student = TransformerStudent(LEVELS, 2, plug_ins=crams).eval()
    torch.manual_seed(1)
    plain, given = TransformerStudent(LEVELS, 2).eval(), features()
    for with_cram, without, cram in zip(student(None, given), plain(None, given), crams, strict=True):
        assert torch.equal(with_cram.student, cram(without.student))
        assert not torch.equal(with_cram.student, without.student)


def test_any_width_has_heads_that_divide_it() -> None:
    student = TransformerStudent([Level(200, 16)] * 2, 2)
    assert 200 % student.blocks[0].attention.heads == 0
    student(None, [torch.randn(1, 200, 2, 2)] * 2)


@pytest.mark.parametrize(
    "levels",
    [
        [Level(40, 8), Level(112, 16), Level(320, 32)],
        [Level(64, 16), Level(128, 16)],
        [Level(384, 14)],
    ],
)
def test_a_teacher_of_other_levels_is_refused_with_the_names_of_those_that_fit(levels: list[Level]) -> None:
    with pytest.raises(InputError, match=r"one grid.*add --teacher vit_small_patch14_dinov2.lvd142m"):
        TransformerStudent(levels, 6)


def test_a_depth_that_cannot_be_shared_out_is_refused() -> None:
    with pytest.raises(InputError, match=r"8 blocks cannot be shared out to 3 levels.*--set depth=6"):
        TransformerStudent([Level(WIDTH, 14)] * 3, 8)
