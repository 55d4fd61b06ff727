"""Faster twins of plain functions: the same numbers, on this hardware. The program works without them.

:data:`KERNELS` is the one place where they are chosen. Set the environment variable
``UNDERSTUDY_KERNELS=off`` to use none of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from understudy.distill import acceleration, affinity, losses
from understudy.kernels import chunks, depthwise, gram, malloc, rows, spatial

__all__ = ["KERNELS"]

KERNELS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    losses.channel_distillation: chunks.channel_distillation,
    losses.spatial_distillation: spatial.spatial_distillation,
    affinity.intra_affinity_distillation: gram.intra_affinity_distillation,
    affinity.inter_affinity_distillation: gram.inter_affinity_distillation,
    affinity.affinity_map: rows.affinity_map,
    affinity.contextual_distance: rows.contextual_distance,
    acceleration.prepare_convolutions: depthwise.prepare_convolutions,
    acceleration.kept_memory: malloc.kept_memory,
}

if os.environ.get("UNDERSTUDY_KERNELS", "on") != "off":
    acceleration.use_kernels(KERNELS)
