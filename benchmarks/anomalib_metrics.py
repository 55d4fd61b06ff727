"""anomalib's AUPRO and pixel AUROC on stored maps. ``metrics.py`` runs it in anomalib's own environment.

    python anomalib_metrics.py FOLDER COUNT

Prints one line of JSON: seconds, peak_mib, aupro, pixel_auroc, version.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from anomalib.metrics.aupro import _AUPRO
from torchmetrics.classification import BinaryAUROC

from memory import peak_mib


def main(folder: Path, count: int) -> None:
    """Hand over ten maps at a time, as anomalib's evaluation does with its batches."""
    maps, masks = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("maps", "masks"))
    began = time.perf_counter()
    aupro, auroc = _AUPRO(fpr_limit=0.3), BinaryAUROC()
    for start in range(0, count, 10):
        scores = torch.from_numpy(maps[start : start + 10].copy())
        target = torch.from_numpy(masks[start : start + 10].astype(np.int32))
        aupro.update(scores, target)
        auroc.update(scores, target)
    found = {"aupro": float(aupro.compute()), "pixel_auroc": float(auroc.compute())}
    seconds = time.perf_counter() - began
    version = importlib.metadata.version("anomalib")
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib(), "version": version} | found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
