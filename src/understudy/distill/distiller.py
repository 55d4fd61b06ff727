"""The distiller: a student learns the teacher's features of good pictures; where both differ is a defect."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from understudy.distill.acceleration import one_batch
from understudy.distill.codebook import Codebook
from understudy.distill.composition import Composition
from understudy.distill.losses import Term
from understudy.distill.maps import ToMap, image_score
from understudy.distill.teacher import Teacher, embedding
from understudy.distill.valid import valid_cells
from understudy.progress import Lap, untimed
from understudy.types import Features, Pair

__all__ = ["Distiller"]


class Distiller(nn.Module):
    """(B, 3, H, W) normalised images -> (B, 1, H, W) anomaly map; larger is more abnormal.

    In all methods ``valid`` is (B, 1, H, W) float32: 1 where a pixel counts and 0 where it does not; ``None``
    if all pixels count. Pixels that do not count are in no loss and in no map. Students do not see ``valid``.

    Args:
        teacher: frozen, images -> Features.
        student: (images, Features) -> list of Pair. A student that does not look at the images has the
            attribute ``sees_images = False``; its ``images`` can be ``None``.
        terms: the summands of the training loss.
        to_map: (pairs, (H, W), valid) -> anomaly map. A :class:`understudy.distill.fusion.Fusion` learns its
            scales after the training. If it has a method ``score``, (B, 1, H, W) map -> (B,), that is the
            score of an image, instead of the maximum of its map. If it has a method ``score_of_pairs``, pairs
            -> (B,), that is the score as long as no codebook changes the map. If it has a method
            ``of_images``, the map is made by that, from images; see
            :class:`understudy.distill.saliency.GradientMap`.

    Attributes:
        codebook: once it is filled, the anomaly map is the mean of the student's map and the codebook's;
            ``None`` for the student's map alone.
        composition: once it is filled, pictures are also described by it; ``None`` for no such description.
    """

    def __init__(self, teacher: Teacher, student: nn.Module, terms: Sequence[Term], to_map: ToMap) -> None:
        super().__init__()
        self.teacher = teacher
        self.student = student
        self.terms = tuple(terms)
        self.to_map = to_map
        self.codebook: Codebook | None = None
        self.composition: Composition | None = None
        self._warned = False

    def learned(self) -> dict[str, Tensor]:
        """State to save beside the teacher: the student, the scales of a fusion, codebook and composition."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("teacher.")}

    def load_learned(self, state: Mapping[str, Tensor]) -> None:
        """Load the state that :meth:`learned` gave.

        Raises:
            RuntimeError: a name or a shape does not fit this distiller.
        """
        teacher = {f"teacher.{k}": v for k, v in self.teacher.state_dict().items()}
        self.load_state_dict({**teacher, **state})

    @property
    def sees_pictures(self) -> bool:
        """Whether the student looks at the images, not only at the teacher's features of them."""
        return bool(getattr(self.student, "sees_images", True))

    def pairs(self, images: Tensor, valid: Tensor | None = None) -> list[Pair]:
        """(B, 3, H, W) -> one Pair a level: features of teacher and student, and the valid cells."""
        return self.pairs_from(self.teacher(images), images, valid)

    def pairs_from(
        self, features: Features, images: Tensor | None = None, valid: Tensor | None = None
    ) -> list[Pair]:
        """Features -> one Pair a level, like :meth:`pairs`; a student that sees images needs these too."""
        pairs: list[Pair] = self.student(images, features)
        if valid is None:
            return pairs
        return [pair._replace(valid=valid_cells(valid, _size(pair.teacher))) for pair in pairs]

    def forward(self, images: Tensor, valid: Tensor | None = None) -> Tensor:  # noqa: D102
        features = self.teacher(images)
        return self._map(self.pairs_from(features, images, valid), features, images, valid)

    def _map(self, pairs: list[Pair], features: Features, images: Tensor, valid: Tensor | None) -> Tensor:
        students = self.student_map(pairs, images, valid)
        if self.codebook is None or not self.codebook.filled:
            return students
        return self.codebook.beside(students, features, valid)

    def student_map(self, pairs: list[Pair], images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Pairs and the images that they are of -> the student's (B, 1, H, W) map, without the codebook's."""
        of_images: Callable[..., Tensor] | None = getattr(self.to_map, "of_images", None)
        if of_images is None:
            return self.to_map(pairs, _size(images), valid)
        return of_images(images, self._differentiable_pairs, valid)

    def _differentiable_pairs(self, images: Tensor, valid: Tensor | None = None) -> list[Pair]:
        """Like :meth:`pairs`, but a gradient passes through the teacher too."""
        return self.pairs_from(self.teacher.differentiable(images), images, valid)

    def _image_score(self, anomaly_map: Tensor, pairs: list[Pair]) -> Tensor:
        of_pairs: Callable[[list[Pair]], Tensor] | None = getattr(self.to_map, "score_of_pairs", None)
        if of_pairs is not None and not (self.codebook and self.codebook.filled):
            return of_pairs(pairs)
        of_map: Callable[[Tensor], Tensor] = getattr(self.to_map, "score", image_score)
        return of_map(anomaly_map)

    def score(self, images: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, 1, H, W) map and (B,) image-level score; larger is more abnormal."""
        anomaly_map, score, *_ = self.inspect(images, valid=valid)
        return anomaly_map, score

    def inspect(self, images: Tensor, lap: Lap = untimed, valid: Tensor | None = None) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> (B, 1, H, W) map, (B,) score and the teacher's (B, D) embedding, in one pass.

        A distiller with a composition adds it; see :class:`understudy.distill.composition.Composition`.

        Args:
            images: normalised images.
            lap: times the parts ``teacher``, ``student`` and ``map``.
            valid: mask of the valid pixels.
        """
        with lap("teacher", images.shape[0]):
            features = self.teacher(images)
        with lap("student", images.shape[0]):
            pairs = self.pairs_from(features, images, valid)
        with lap("map", images.shape[0]):
            anomaly_map = self._map(pairs, features, images, valid)
            answer = anomaly_map, self._image_score(anomaly_map, pairs), embedding(features)
            if self.composition is None or not self.composition.filled:
                return answer
            return *answer, self.composition(features, valid)

    def training_loss(self, images: Tensor, shift: int = 1, valid: Tensor | None = None) -> dict[str, Tensor]:
        """(B, 3, H, W) good images -> each term of the loss; see :meth:`loss`."""
        return self.loss(self.pairs(images, valid), shift)

    def loss(self, pairs: list[Pair], shift: int = 1, done: float = 0.0) -> dict[str, Tensor]:
        """Pairs of good pictures -> name of each term and its value, weighted; the loss is their sum.

        Args:
            pairs: pairs of one batch, one a level.
            shift: the partner of picture b is picture (b + shift) mod B, with shift in 1..B-1; see
                :func:`understudy.distill.affinity.inter_affinity_distillation`.
            done: share of the training that is over, in [0, 1]; the weights of annealed terms fall with it.
        """
        terms = self.terms
        if len(pairs[0].teacher) == 1 and any(term.needs_partner for term in terms):
            if not self._warned:
                warnings.warn("a batch of one has no partner: inter-affinity is left out", stacklevel=2)
            self._warned = True
            terms = tuple(term for term in terms if not term.needs_partner)
        with torch.autocast(pairs[0].teacher.device.type, enabled=False), one_batch():
            return {
                term.name: term.weight_after(done)
                * torch.stack([term.error(pair, shift, done) for pair in pairs[term.levels]]).sum()
                for term in terms
            }


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
