"""The table of ``ceilings.py``."""

from __future__ import annotations

from statistics import median

__all__ = ["ceilings"]

Row = dict[str, str]

_PRECISIONS = {"32": "float32", "bf16": "bf16"}


def ceilings(rows: list[Row]) -> str:
    """Set a training step beside the machine's ceilings: counted work, and how far the time is from it."""
    lines = [
        "| training step | precision | multiply-adds | bytes (estimate) | at the ceilings | measured | gap |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        at_matmul = float(row["multiply_adds_g"]) / float(row["matmul_gmacs_per_s"])
        at_copy = float(row["bytes_g"]) / float(row["copy_gb_per_s"])
        took = float(row["step_ms"]) / 1000
        cells = [
            f"`{row['method']}`, {row['teacher']}",
            _PRECISIONS[row["precision"]],
            f"{row['multiply_adds_g']} G",
            f"{row['bytes_g']} GB",
            f"{at_matmul:.2f} s / {at_copy:.2f} s",
            f"{took:.2f} s",
            f"{took / at_matmul:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    first, commits = rows[0], ", ".join(sorted({row["commit"] for row in rows}))
    products = ", ".join(
        f"{median(found):.0f} G ({name})"
        for precision, name in _PRECISIONS.items()
        if (found := [float(r["matmul_gmacs_per_s"]) for r in rows if r["precision"] == precision])
    )
    copied = median(float(row["copy_gb_per_s"]) for row in rows)
    note = (
        f"\nA batch of {first['batch_size']} at {first['image_size']} px, features computed at each step. "
        "At the ceilings: the multiply-adds as one product of matrices / the bytes as one copy, were nothing "
        "ever in a cache; the gap is the measured time over the first. A product of matrices of side "
        f"{first['side']} does {products} multiply-adds a second; a copy moves {copied:.1f} GB a second. On "
        f"{first['machine']}, {first['threads']} threads, {first['date']}, commit {commits}.\n"
        "Made by `python benchmarks/ceilings.py --out benchmarks/results/ceilings.csv`.\n"
    )
    return "\n".join(lines) + "\n" + note
