"""Equations (1) to (14) of SNL, arXiv:2402.17091, written out in loops, against the library.

The loops run over plain Python numbers, so they share neither code nor rounding with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from understudy.distill.affinity import inter_affinity_distillation, intra_affinity_distillation
from understudy.distill.cram import CRAM
from understudy.distill.losses import channel_distillation, cosine_distance, spatial_distillation
from understudy.distill.maps import MapRecipe, image_score
from understudy.distill.weights import load_teacher
from understudy.methods import build, settings_for
from understudy.types import Pair

B, D, H, W = 3, 5, 4, 3
FORMS = ("rms", "abs", "squared")
ROOT = 2e-4  # the root's floor of 1e-4 and its rounding

Vectors = list[list[float]]


@pytest.fixture
def pair() -> Pair:
    return Pair(torch.randn(B, D, H, W), torch.randn(B, D, H, W))


def positions(picture: Tensor) -> Vectors:
    """(D, H, W) -> n vectors of D numbers."""
    vectors: Vectors = picture.detach().double().flatten(1).T.tolist()
    return vectors


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def distances(teacher: Tensor, student: Tensor) -> list[float]:
    """Eq. (1): M(h, w) = 1 - cos(F_t(h, w), F_s(h, w)), one number a position."""
    return [1 - cosine(t, s) for t, s in zip(positions(teacher), positions(student), strict=True)]


def softmax(logits: Sequence[float]) -> list[float]:
    total = sum(math.exp(x) for x in logits)
    return [math.exp(x) / total for x in logits]


def spatial_sum(teacher: Tensor, student: Tensor) -> float:
    """Eq. (3)-(4): sum_d sum_n p_t·log(p_t / p_s), p each channel's softmax over the positions."""
    total = 0.0
    for d in range(teacher.shape[0]):
        p_t, p_s = (softmax(f[d].detach().double().flatten().tolist()) for f in (teacher, student))
        total += sum(t * math.log(t / s) for t, s in zip(p_t, p_s, strict=True))
    return total


def affinity_errors(teacher: Tensor, student: Tensor, teacher_2: Tensor, student_2: Tensor) -> Vectors:
    """A_s(i, j) - A_t(i, j) of one picture and its partner; A(i, j) = cos(F(i), F~(j))."""
    t, s, t2, s2 = (positions(f) for f in (teacher, student, teacher_2, student_2))
    n = len(t)
    return [[cosine(s[i], s2[j]) - cosine(t[i], t2[j]) for j in range(n)] for i in range(n)]


def mean_error(errors: Vectors, form: str) -> float:
    n = len(errors)
    if form == "abs":
        return sum(abs(e) for row in errors for e in row) / n**2
    squared = sum(e * e for row in errors for e in row) / n**2
    return math.sqrt(squared) if form == "rms" else squared


def affinity_term(pair: Pair, shift: int, form: str) -> float:
    t, s, _ = pair
    count = len(t)
    each = []
    for b in range(count):
        other = (b + shift) % count  # the same partner for teacher and student
        each.append(mean_error(affinity_errors(t[b], s[b], t[other], s[other]), form))
    return sum(each) / count


def enlarged(level: list[list[float]], size: tuple[int, int]) -> list[list[float]]:
    """Bilinear, corners on corners."""
    h, w = len(level), len(level[0])

    def between(at: int, length: int, out: int) -> tuple[int, int, float]:
        place = at * (length - 1) / (out - 1)
        low = min(int(place), length - 1)
        return low, min(low + 1, length - 1), place - low

    rows = []
    for y in range(size[0]):
        top, bottom, down = between(y, h, size[0])
        row = []
        for x in range(size[1]):
            left, right, along = between(x, w, size[1])
            upper = (1 - along) * level[top][left] + along * level[top][right]
            lower = (1 - along) * level[bottom][left] + along * level[bottom][right]
            row.append((1 - down) * upper + down * lower)
        rows.append(row)
    return rows


def test_equation_1_and_2_is_one_minus_the_cosine_of_every_position_averaged(pair: Pair) -> None:
    literal = [m for b in range(B) for m in distances(pair.teacher[b], pair.student[b])]
    assert cosine_distance(pair).flatten().tolist() == pytest.approx(literal, abs=1e-5)
    assert channel_distillation(pair).item() == pytest.approx(sum(literal) / len(literal), abs=1e-5)


def test_the_global_reading_compares_whole_tensors(pair: Pair) -> None:
    literal = [
        1 - cosine(pair.teacher[b].flatten().tolist(), pair.student[b].flatten().tolist()) for b in range(B)
    ]
    assert channel_distillation(pair, "global").item() == pytest.approx(sum(literal) / B, abs=1e-5)


def test_equation_3_and_4_is_the_divergence_of_softmaxes_over_positions_summed_over_channels(
    pair: Pair,
) -> None:
    total = sum(spatial_sum(pair.teacher[b], pair.student[b]) for b in range(B))
    for reduction, count in {"sum_d": B, "mean_d": B * D, "mean_all": B * D * H * W}.items():
        found = spatial_distillation(pair, "none", reduction=reduction).item()
        assert found == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_equation_5_and_6_is_the_mean_error_of_affinities_to_the_partner(
    pair: Pair, shift: int, form: str
) -> None:
    expected = pytest.approx(affinity_term(pair, shift, form), abs=ROOT if form == "rms" else 1e-5)
    assert inter_affinity_distillation(pair, shift, form).item() == expected
    if shift == 0:
        assert intra_affinity_distillation(pair, form).item() == expected


@pytest.mark.parametrize("shift", [0, 1])
def test_the_printed_double_sum_of_equation_5_and_6_is_n_squared_times_the_absolute_form(
    pair: Pair, shift: int
) -> None:
    n = H * W
    printed = 0.0
    for b in range(B):
        other = (b + shift) % B
        errors = affinity_errors(pair.teacher[b], pair.student[b], pair.teacher[other], pair.student[other])
        for i in range(n):
            for j in range(n):
                printed += math.sqrt(errors[i][j] ** 2)  # the 2-norm of a number
    assert n**2 * inter_affinity_distillation(pair, shift, "abs").item() == pytest.approx(
        printed / B, rel=1e-5
    )


@pytest.mark.parametrize("shift", [1, 2])
def test_equation_7_is_the_weighted_sum_of_the_terms_over_the_levels(shift: int) -> None:
    values = {
        "lambda_spatial": 0.5,
        "lambda_intra": 2.0,
        "lambda_inter": 3.0,
        "spatial_scale": "none",
        "spatial_reduction": "sum_d",
        "affinity_form": "abs",
        "centers": 4,
    }
    teacher, _, _ = load_teacher("resnet18", (8, 16), "random", 32)
    distiller = build("snl-rd", teacher, settings_for("snl-rd", values))
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        found = distiller.training_loss(images, shift)
        pairs = distiller.student(images, teacher(images))
    assert [tuple(p.teacher.shape) for p in pairs] == [(3, 128, 4, 4), (3, 256, 2, 2)]
    literal = dict.fromkeys(("cosine", "spatial", "intra", "inter"), 0.0)
    for level in pairs:
        for t, s in zip(level.teacher, level.student, strict=True):
            by_position = distances(t, s)
            literal["cosine"] += sum(by_position) / len(by_position) / 3
            literal["spatial"] += 0.5 * spatial_sum(t, s) / 3
        literal["intra"] += 2.0 * affinity_term(level, 0, "abs")
        literal["inter"] += 3.0 * affinity_term(level, shift, "abs")
    assert {name: term.item() for name, term in found.items()} == pytest.approx(literal, rel=1e-4)
    assert sum(term.item() for term in found.values()) == pytest.approx(sum(literal.values()), rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("per_center_alpha", [False, True])
@pytest.mark.parametrize("mode", ["residual", "codebook"])
def test_equation_8_and_9_is_the_softly_assigned_sum_of_residuals(mode: str, per_center_alpha: bool) -> None:
    cram = CRAM(6, 4, mode, per_center_alpha=per_center_alpha)
    torch.nn.init.normal_(cram.centers)
    if per_center_alpha:
        torch.nn.init.normal_(cram.raw_alpha)
    features = torch.randn(2, 6, 3, 5)
    out = cram(features)
    centers = cram.centers.double().tolist()
    alpha = [math.log1p(math.exp(a)) for a in cram.raw_alpha.tolist()] * (1 if per_center_alpha else 4)
    for b in range(2):
        for f, found in zip(positions(features[b]), positions(out[b]), strict=True):
            residuals = [[x - y for x, y in zip(f, c, strict=True)] for c in centers]
            shares = softmax([-a * sum(x * x for x in r) for a, r in zip(alpha, residuals, strict=True)])
            parts = residuals if mode == "residual" else centers
            literal = [sum(shares[n] * parts[n][d] for n in range(4)) for d in range(6)]
            assert found == pytest.approx(literal, abs=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
def test_equations_10_to_14_add_the_feature_and_affinity_maps_over_the_levels_and_take_the_maximum(
    form: str,
) -> None:
    size = (7, 5)
    levels = [Pair(torch.randn(shape), torch.randn(shape)) for shape in [(2, 5, 4, 3), (2, 7, 2, 1)]]
    found = MapRecipe(affinity=1.0, form=form, sigma=0)(levels, size)
    tolerance = 2 * ROOT if form == "rms" else 1e-5
    for b in range(2):
        literal = [[0.0] * size[1] for _ in range(size[0])]
        for t, s in ((level.teacher[b], level.student[b]) for level in levels):
            h, w = t.shape[1:]
            n = h * w
            feature, errors = distances(t, s), affinity_errors(t, s, t, s)  # eq. (11), (12)
            affinity = []
            for j in range(n):  # eq. (13): the mean of column j
                if form == "abs":
                    affinity.append(sum(abs(errors[i][j]) for i in range(n)) / n)
                else:
                    mean_square = sum(errors[i][j] ** 2 for i in range(n)) / n
                    affinity.append(math.sqrt(mean_square) if form == "rms" else mean_square)
            for part in (feature, affinity):  # each enlarged, then added
                grid = enlarged([part[y * w : (y + 1) * w] for y in range(h)], size)
                literal = [
                    [a + g for a, g in zip(*rows, strict=True)] for rows in zip(literal, grid, strict=True)
                ]
        flat = [value for row in literal for value in row]
        assert found[b].flatten().tolist() == pytest.approx(flat, abs=tolerance)
        assert image_score(found)[b].item() == pytest.approx(max(flat), abs=tolerance)
