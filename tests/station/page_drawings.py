"""Pictures of made products for the page's tests, with heat maps and boxes as a model would give them."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import ndimage

from understudy.lab.factory.defects import DEFECTS, spoil
from understudy.lab.factory.scenes import PRODUCTS, expose

__all__ = ["SIZE", "drawn"]

SIZE = 320
COLOURS = np.array([[8, 8, 48], [88, 16, 120], [190, 40, 90], [245, 130, 30], [255, 245, 170]], float)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@lru_cache(256)
def drawn(product: str, kind: str, seed: int) -> tuple[bytes, bytes, tuple[tuple[int, int, int, int], ...]]:
    """Draw a picture: its file, its heat map with transparency, and boxes around its defect."""
    rng = np.random.default_rng(seed)
    scene = PRODUCTS[product](rng, SIZE)
    mask = np.zeros((SIZE, SIZE), bool)
    pixels = scene.picture
    if kind != "good":
        pixels, mask = spoil(rng, scene, DEFECTS[product][kind])
    wide = ndimage.gaussian_filter(ndimage.maximum_filter(mask.astype(float), 15), 9)
    noise = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 16)
    level = np.clip(wide / max(wide.max(), 1e-6) + 1.5 * noise, 0, 1)
    at = level * (len(COLOURS) - 1)
    colour = np.stack([np.interp(at, range(len(COLOURS)), COLOURS[:, c]) for c in range(3)], -1)
    heat = np.concatenate([colour, 255 * 0.8 * level[..., None] ** 0.8], -1).astype(np.uint8)
    labels, _ = ndimage.label(wide > 0.3 * wide.max() if mask.any() else mask)
    found = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)]
    return _png(expose(pixels, rng)), _png(heat), tuple(found[:3])
