"""Write tables and drawings from benchmarks/results/*.csv into the pages.

python benchmarks/render.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import plot
from candidates import QUESTIONS
from machine import read
from tables import (
    ceilings,
    choices,
    choose,
    comparison,
    cost,
    export,
    found,
    interference,
    lake,
    promises,
    quality,
    reproduced,
    side_by_side,
    station,
    station_drift,
    variations,
)
from tables.wording import Row
from versus import tables as versus

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"
PAGES = tuple(
    ROOT / name
    for name in (
        "README.md",
        "benchmarks/README.md",
        "docs/metrics.md",
        "docs/from-score-to-decision.md",
        "docs/methods/dskd.md",
        "docs/results.md",
        "docs/scale.md",
        "docs/station.md",
        "docs/station-drift.md",
        "docs/decisions/0020-every-category-equally-often.md",
    )
)
NOT_RUN = "Not measured yet.\n"

TABLES: dict[str, Callable[[list[Row]], str]] = {
    "methods": quality.methods,
    "logical": quality.logical,
    "unified": quality.unified,
    "balance": quality.balance,
    "normalisation": quality.normalisation,
    "reproduction": reproduced.baselines,
    "reproduction_terms": reproduced.terms,
    "reproduction_centres": reproduced.centres,
    "memory_bank": quality.memory_bank,
    "recipe_step_by_step": variations.recipe_step_by_step,
    "variations": variations.variations,
    "variations_once": variations.once,
    "variations_factory": variations.elsewhere,
    "variations_pasted": variations.pasted,
    "interference": interference.interference,
    "diagnoses": interference.diagnoses,
    "found": found.found,
    "found_by_product": found.found_by_product,
    "image_scores": found.image_scores,
    "few_pictures": found.few_pictures,
    "promises": promises.promised,
    "promises_estimated": promises.estimated,
    "promises_shapes": promises.shapes,
    "promises_broken": promises.broken,
    "framing": choices.framing,
    "recipe": choices.recipe,
    "recipe_six": choices.recipe,
    "recipe_rd": choices.recipe,
    "precision": choices.precision,
    "metrics": cost.metrics,
    "feature_cache": cost.feature_cache,
    "startup": cost.startup,
    "affinity": cost.affinity,
    "compiled": cost.compiled,
    "structure_cost": cost.structure_cost,
    "scoring": cost.scoring,
    "optimiser": cost.optimiser,
    "ceilings": ceilings.ceilings,
    "export_parity": export.parity,
    "export_precision": export.precision,
    "presets_by_product": choose.by_product,
    "choose_one_class": choose.one_class,
    "presets": choose.speed,
    "lake": lake.measured,
    "lake_cost": lake.hundred_million,
    "station": station.cost,
    "station_drift": station_drift.good_lines,
    "station_delays": station_drift.delays,
    **{f"choose_{name}": partial(choose.question, name=name) for name in QUESTIONS},
    **versus.TABLES,
}
JOINT: dict[str, Callable[[Callable[[str], list[Row]]], str]] = {  # made from several files
    "summary": comparison.summary,
    "differences": comparison.differences,
    "processors": comparison.processors,
    "side_by_side": side_by_side.side_by_side,
}
FILES = {  # table -> results file, where the names differ
    "export_parity": "export",
    "export_precision": "export",
    "diagnoses": "interference",
    "found_by_product": "found",
    "promises_estimated": "promises",
    "promises_shapes": "promises",
    "promises_broken": "promises",
    "reproduction_terms": "reproduction",
    "reproduction_centres": "reproduction",
    "recipe_step_by_step": "variations",
    "variations_once": "variations",
    "presets_by_product": "choose",
    "lake_cost": "lake",
    "station_delays": "station_drift",
    "choose_one_class": "choose",
    **{f"choose_{name}": "choose" for name in QUESTIONS},
}
DRAWINGS: dict[str, Callable[[list[Row]], str]] = {
    "affinity": plot.affinity,
    "recipe": plot.recipe,
}
JOINT_DRAWINGS: dict[str, Callable[[Callable[[str], list[Row]]], str]] = {"presets": plot.presets}


def main() -> None:
    """Replace the text between each pair of markers, and every drawing."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    for page in PAGES:
        page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")
    for path, drawing in drawn().items():
        path.write_text(drawing, encoding="utf-8")


def rendered(page: str) -> str:
    """Make every table of a page anew. A table without results says so."""
    for name in (*TABLES, *JOINT):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        if begin in page:
            page = before + begin + (_table(name) or NOT_RUN) + end + after
    return page


def _table(name: str) -> str:
    """Make a table; it is empty if there are no results."""
    if name in JOINT:
        return JOINT[name](_read)
    rows = _read(FILES.get(name, name))
    return TABLES[name](rows) if rows else ""


def _read(name: str) -> list[Row]:
    return read(RESULTS / f"{name}.csv")


def drawn() -> dict[Path, str]:
    """Make every drawing that has results: file -> SVG."""
    found = {name: _read(name) for name in DRAWINGS}
    drawings = {name: DRAWINGS[name](rows) for name, rows in found.items() if rows}
    drawings |= {name: drawing(_read) for name, drawing in JOINT_DRAWINGS.items()}
    return {IMAGES / f"{name}.svg": drawing for name, drawing in drawings.items() if drawing}


if __name__ == "__main__":
    main()
