"""Make README's picture from what ``understudy demo`` left: one defect a product, marked, and its heat map.

    python docs/demo_picture.py demo docs/images/demo.jpg

Each product shows its defect of median score, not its best one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from understudy import Model
from understudy.evaluate import read_masks
from understudy.runtime.heatmap import colour_span, heatmap, outline
from understudy.runtime.images import read_picture

GAP, HEAD, SIDE = 8, 26, 200


def main(demo: Path, out: Path) -> None:
    """Draw two products a row. Each has three tiles: the picture, the marked defect and the heat map."""
    model = Model.load(demo / "model")
    tested = model.evaluate(demo / "pictures").tested
    span = colour_span(model.thresholds, [t.score for t in tested])
    chosen = []
    for category in dict.fromkeys(t.record.category for t in tested):
        own = [t for t in tested if t.record.category == category and not t.record.is_good]
        chosen.append(sorted(own, key=lambda t: t.score)[len(own) // 2])
    block = 3 * (SIDE + GAP) + GAP
    sheet = Image.new("RGB", (2 * block, GAP + 2 * (HEAD + SIDE + GAP)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    results = model.predict([t.record.path for t in chosen])
    for i, (t, found) in enumerate(zip(chosen, results, strict=True)):
        x0, y0 = (i % 2) * block + GAP, GAP + (i // 2) * (HEAD + SIDE + GAP)
        kind = t.record.defect.replace("_", " ")
        label = f"{t.record.category}, {kind}: score {t.score:.2f}, {t.verdict}"
        pen.text((x0, y0 + 4), label, fill=(29, 36, 51), font=font)
        picture, mask = read_picture(t.record.path), read_masks(t.record, found.size)
        assert mask is not None
        tiles = (picture, outline(picture, mask), heatmap(picture, found.anomaly_map, *span))
        for k, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile).resize((SIDE, SIDE)), (x0 + k * (SIDE + GAP), y0 + HEAD))
    sheet.save(out, quality=88)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/demo_picture.py DEMO OUT.jpg")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
