"""What Lightning trains: the loss of a batch, the optimiser, and the content of a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Subset

from understudy.data.features import as_features
from understudy.data.store import PictureStore
from understudy.distill.across import gather, gather_pairs
from understudy.distill.cram import CRAM
from understudy.distill.distiller import Distiller
from understudy.distill.network import Normaliser, float32_products
from understudy.methods.recipe import at_their_rates, share_of_rate
from understudy.runtime.preprocess import Preprocess
from understudy.train.finish import recompute_batchnorm
from understudy.train.plan import TrainingPlan
from understudy.train.processes import ALONE, Group
from understudy.types import Features, Pair

__all__ = ["TrainingModule"]


class TrainingModule(L.LightningModule):
    """What Lightning needs: the loss of a batch, the optimiser, and the content of a checkpoint.

    Args:
        distiller: distiller; its student is trained.
        preprocess: turns windows into input.
        plan: plan of the training.
        fingerprint: digest that identifies this training in checkpoints.
        seconds: duration of the training before it was resumed.
        group: processes that train together; each has its share of every batch.

    Attributes:
        terms: terms of the loss of the last step, by name.
    """

    strict_loading = False  # a checkpoint holds the student only

    def __init__(
        self,
        distiller: Distiller,
        preprocess: Preprocess,
        plan: TrainingPlan,
        fingerprint: str,
        seconds: float,
        group: Group = ALONE,
    ) -> None:
        super().__init__()
        self._began = time.monotonic() - seconds
        self.terms: dict[str, Tensor] = {}
        self.distiller = distiller.to(memory_format=torch.channels_last)
        self._plan, self._fingerprint, self._group = plan, fingerprint, group
        self._inputs = Normaliser(preprocess)
        self._draws = any(_draws(m) for m in distiller.student.modules())
        fast: Callable[[Any], Any] = torch.compile if plan.compiled else _as_it_is
        self._of_images: Callable[[Tensor, Tensor | None], list[Pair]] = fast(distiller.pairs)
        self._of_features: Callable[[Features, None, Tensor | None], list[Pair]] = fast(distiller.pairs_from)

    @property
    def seconds(self) -> float:
        """Duration of the training in seconds, without the pause between a stop and a resume."""
        return time.monotonic() - self._began

    def training_step(self, batch: Tensor | list[Tensor], batch_idx: int) -> Tensor:
        """(B, S, S, 3 or 4) uint8 windows, or (B, h, w, D) features per level -> scalar loss."""
        if self._draws:
            torch.manual_seed(_seed_of(self._plan.seed, self.global_step, self._group.rank))
        pairs = self._pairs(batch)
        if self._group.size > 1:
            pairs = gather_pairs(pairs)
        shift = _partner_shift(self._plan.seed, self.global_step, len(pairs[0].teacher))
        with float32_products("highest", self._plan.device):  # differences of cosines need all digits
            self.terms = self.distiller.loss(pairs, shift, self.global_step / self._plan.steps)
        return torch.stack(list(self.terms.values())).sum()

    def figures(self) -> dict[str, float]:
        """Return each term of the last loss, and how much the centres of every CRAM are used."""
        figures = {name: float(term.detach()) for name, term in self.terms.items()}
        crams = [m for m in self.distiller.student.modules() if isinstance(m, CRAM)]
        for i, cram in enumerate(crams):
            usage = cram.usage(gather) if self._group.size > 1 else cram.usage()
            figures |= {f"cram{i}_{name}": value for name, value in usage.items()}
        return figures

    def error(self, pictures: PictureStore) -> float:
        """Return the mean of the anomaly maps of some windows; each window counts alike.

        The processes of a group share the windows. Features are computed in the precision of the training,
        maps in float32.
        """
        total, group = 0.0, self._group
        mine: PictureStore | Subset[Tensor] = pictures
        if group.size > 1:
            mine = Subset(pictures, range(group.rank, len(pictures), group.size))
        loader = DataLoader(mine, batch_size=self._plan.batch_size, num_workers=pictures.workers)
        for batch in loader:
            images, valid = self._inputs(batch.to(self.device))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._plan.precision == "bf16"):
                pairs = self.distiller.pairs(images, valid)
            with float32_products("highest", self._plan.device):
                maps = self.distiller.student_map(pairs, images, valid)
            if valid is not None:
                maps = (maps * valid).sum((1, 2, 3)) / valid.sum((1, 2, 3))
            total += float(maps.mean()) * len(batch)
        return group.total(total) / len(pictures)

    def recompute_batchnorm(self, batches: DataLoader[Any]) -> None:
        """Recompute the statistics of batch normalisation, in the precision of the training."""

        def forward(batch: Tensor | list[Tensor]) -> None:
            moved = [b.to(self.device) for b in batch] if isinstance(batch, list) else batch.to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._plan.precision == "bf16"):
                self._pairs(moved)

        # A compiled forward would be compiled once more, for statistics that are kept in another way.
        self._of_images, self._of_features = self.distiller.pairs, self.distiller.pairs_from
        recompute_batchnorm(self.distiller.student, batches, forward)

    def _pairs(self, batch: Tensor | list[Tensor]) -> list[Pair]:
        """Windows, or stored features -> pairs of teacher and student features."""
        if isinstance(batch, Tensor):
            return self._of_images(*self._inputs(batch))
        features, valid = as_features(batch)
        return self._of_features(features, None, valid)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the plan's optimiser for the student, and its learning rate as a function of the step."""
        plan = self._plan
        optimiser = plan.optimiser.over(at_their_rates(self.distiller.student, plan.optimiser.lr))
        least = getattr(plan.optimiser, "least", 0.0)
        rates = LambdaLR(optimiser, lambda step: share_of_rate(plan.schedule, step, plan.steps, least))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen teacher out of a checkpoint; add fingerprint, duration and precision."""
        state = checkpoint["state_dict"]
        for key in [k for k in state if k.startswith("distiller.teacher.")]:
            del state[key]
        checkpoint["fingerprint"] = self._fingerprint
        checkpoint["seconds"] = self.seconds
        checkpoint["precision"] = self._plan.precision


def _as_it_is(function: Any) -> Any:
    """Return a function unchanged, where torch.compile is not asked for."""
    return function


def _partner_shift(seed: int, step: int, batch: int) -> int:
    """Return how far a picture's partner is from it in the batch, 1..B-1; depends on seed and step only."""
    if batch < 2:
        return 0
    generator = torch.Generator().manual_seed(_seed_of(seed, step))
    return int(torch.randint(1, batch, (), generator=generator))


def _draws(module: nn.Module) -> bool:
    """Say whether a module of a student draws random numbers: dropout, or one that says ``draws = True``."""
    return bool(getattr(module, "draws", isinstance(module, nn.Dropout) and module.p))


def _seed_of(seed: int, step: int, rank: int = 0) -> int:
    """Return what seeds a step's random numbers, so that a resumed training draws the same ones.

    Each process of a group draws its own.
    """
    return seed * 1_000_003 + step + (rank << 52)
