"""Make README's picture from what ``understudy demo`` left: one defect a product, marked, and its heat map.

python docs/demo_picture.py demo docs/images/demo.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import understudy
from understudy.runtime.heatmap import colour_span, heatmap, outline

GAP, HEAD, SIDE = 8, 26, 200
COLUMNS = ("picture", "marked defect", "heat map")


def main(demo: Path, out: Path) -> None:
    """Two products a row, three tiles each."""
    model = understudy.load(demo / "model")
    tested = understudy.evaluate(model, demo / "pictures").tested
    span = colour_span(model.thresholds, [t.score for t in tested])
    chosen = []
    for category in dict.fromkeys(t.record.category for t in tested):
        own = [t for t in tested if t.record.category == category and not t.record.is_good]
        chosen.append(sorted(own, key=lambda t: t.score)[len(own) // 2])  # the median defect, not the best
    block = 3 * (SIDE + GAP) + GAP
    sheet = Image.new("RGB", (2 * block, GAP + 2 * (HEAD + SIDE + GAP)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, t in enumerate(chosen):
        x0, y0 = (i % 2) * block + GAP, GAP + (i // 2) * (HEAD + SIDE + GAP)
        label = f"{t.record.category}, {t.record.defect.replace('_', ' ')}: score {t.score:.2f}, {t.verdict}"
        pen.text((x0, y0 + 4), label, fill=(29, 36, 51), font=font)
        with Image.open(t.record.path) as image:
            picture = np.asarray(image.convert("RGB"))
        assert t.mask is not None
        tiles = (picture, outline(picture, t.mask), heatmap(picture, t.anomaly_map, *span))
        for k, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile).resize((SIDE, SIDE)), (x0 + k * (SIDE + GAP), y0 + HEAD))
    sheet.save(out, quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
