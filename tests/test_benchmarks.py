"""The benchmarks' page names every script and every table; tables and drawings say what the results say."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from understudy import Model, evaluate
from understudy.data.layouts import open_pictures
from understudy.distill.losses import affinity_distillation
from understudy.evaluate.job import Evaluation
from understudy.evaluate.marks import read_masks
from understudy.methods import settings_for
from understudy.runtime.images import read_picture
from understudy.train.options import fit_options
from understudy.train.plan import recipe_of
from understudy.types import Pair

FOLDER = Path(__file__).parent.parent / "benchmarks"
PAGE = (FOLDER / "README.md").read_text()
RESULTS = (FOLDER.parent / "docs" / "results.md").read_text()
SCRIPTS = {p.name: p.read_text() for p in FOLDER.glob("*.py") if "\nif __name__" in p.read_text()}
ON = {"machine": "a machine", "date": "2026-01-01", "commit": "abc"}
LOOK = ON | {"image_size": "256", "teacher": "t", "method": "m", "trained_on": "a b", "batch_size": "8"}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a module of the benchmarks as its own scripts do."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def test_the_page_names_every_script_and_every_command_is_of_one() -> None:
    assert all(f"`{name}`" in PAGE or f"benchmarks/{name}" in PAGE for name in SCRIPTS)
    commands = re.findall(r"python (benchmarks/\w+\.py)", PAGE)
    assert {Path(c).name for c in commands} <= set(SCRIPTS)


def test_every_option_that_the_page_gives_is_one_of_the_script() -> None:
    for command in re.findall(r"`python (benchmarks/\w+\.py [^`]*)`", PAGE):
        script, *words = shlex.split(command)
        options = {w for w in words if w.startswith("--")}
        assert options <= options_of(SCRIPTS[Path(script).name])


def options_of(source: str) -> set[str]:
    """What a script takes: by its own parser, and by the shared one where it calls that."""
    shared = (FOLDER / "apart.py").read_text() if re.search(r"\b(compare|parser_of)\(", source) else ""
    return set(re.findall(r'add_argument\("(--[\w-]+)"', source + shared))


def test_every_table_of_a_page_is_rendered_and_every_rendered_table_is_on_a_page(
    load: Callable[[str], ModuleType],
) -> None:
    render = load("render")
    known = set(render.TABLES) | set(render.JOINT)
    assert set(re.findall(r"<!-- (\w+): begin -->", PAGE + RESULTS)) == known
    for page in render.PAGES:
        text = page.read_text()
        assert set(re.findall(r"<!-- (\w+): begin -->", text)) <= known
        assert text.count(": begin -->\n") == text.count(": end -->")


def test_tables_and_drawings_are_made_from_the_results(load: Callable[[str], ModuleType]) -> None:
    render = load("render")
    for page in render.PAGES:
        assert render.rendered(page.read_text()) == page.read_text()
    for path, drawing in render.drawn().items():
        assert path.read_text() == drawing


def test_a_table_without_results_says_so(
    load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    render = load("render")
    monkeypatch.setattr(render, "RESULTS", tmp_path)
    page = "<!-- startup: begin -->\nold\n<!-- startup: end -->\nrest"
    assert render.rendered(page) == f"<!-- startup: begin -->\n{render.NOT_RUN}<!-- startup: end -->\nrest"
    assert render.drawn() == {}


def affinity_rows() -> list[dict[str, str]]:
    """Ours grows with the pixels; the naive way does not fit where they are many."""
    common = ON | {"batch_size": "8", "strides": "4 8 16", "memory_cap_gb": "20"}
    rows = []
    for size, naive in ((256, "measured"), (512, "does not fit")):
        needed = str(2 * (size / 256) ** 4)
        same = common | {"image_size": str(size), "naive_needs_gb": needed, "seconds": "1.5"}
        ours = {"form": "squared", "outcome": "measured", "own_mib": str(size**2 / 64)}
        theirs = {"form": "naive abs", "outcome": naive, "own_mib": "2048" if naive == "measured" else ""}
        rows += [same | ours, same | theirs]
    return rows


def test_the_affinity_table_tells_what_did_not_fit_and_how_memory_grows(
    load: Callable[[str], ModuleType],
) -> None:
    cost = load("tables.cost")
    found = cost.affinity(affinity_rows())
    assert "| 8 | 256 px | 1.50 s, 1.00 GiB | 1.50 s, 2.00 GiB |" in found
    assert "| 8 | 512 px | 1.50 s, 4.00 GiB | does not fit: 32 GB of matrices at least |" in found
    assert "to the power of 1.00" in found
    assert cost.memory_exponent(affinity_rows(), "naive abs") is None


def test_the_affinity_drawing_is_an_svg_of_what_was_measured_and_computed(
    load: Callable[[str], ModuleType],
) -> None:
    drawings = load("tables.drawings")
    root = ElementTree.fromstring(drawings.affinity(affinity_rows()))
    of = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{of}circle")) == 3  # each measurement
    words = {text.text for text in root.findall(f"{of}text")}
    assert {"squared", "naive abs", "256 x 256", "512 x 512"} <= words
    (computed,) = {p.get("stroke") for p in root.findall(f"{of}path") if p.get("stroke-dasharray")}
    assert computed not in {c.get("fill") for c in root.findall(f"{of}circle")}


def test_equal_ratios_are_equally_long_on_a_logarithmic_axis(load: Callable[[str], ModuleType]) -> None:
    plot = load("plot")
    line = plot.Line("one", [(1, 1), (10, 2), (100, 3)], colour=0)
    drawn = plot.line_chart("title", [line], plot.Axis("x", is_log=True), plot.Axis("y"))
    places = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)
    (x1, y1), (x2, y2), (x3, y3) = [(float(x), float(y)) for x, y in places]
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert x1 < x2
    assert y1 > y2


def test_the_structure_table_divides_snl_by_rd(load: Callable[[str], ModuleType]) -> None:
    same = LOOK | {"weights": "random", "computed_in": "bf16", "cache_features": "off", "memory_cap_gb": "0"}
    rows = [same | {"method": "rd", "step_ms": ms, "peak_mib": "2048"} for ms in ("90", "100", "500")]
    rows.append(same | {"method": "snl-rd", "step_ms": "120", "peak_mib": "2560"})
    large = {"memory_cap_gb": "20.0", "image_size": "1024", "outcome": "does not fit"}
    rows.append(same | large | {"naive_needs_gb": "51.5", "affinity": "naive", "precision": "auto"})
    found = load("tables.cost").structure_cost(rows)
    assert "| bf16 | at each step | 100 ms | 120 ms | 1.20 | 2.00 GiB | 2.50 GiB | 1.25 |" in found
    assert "bf16, affinity naive, within 20 GB: does not fit (52 GB of matrices at least)." in found


def test_the_scoring_table_has_a_line_for_what_is_measured_whole(load: Callable[[str], ModuleType]) -> None:
    same = LOOK | {"threads": "1", "count": "9", "rounds": "3", "peak_mib": "512", "batch_size": "1"}
    rows = [
        same | {"contender": c, "pictures": kind, "per_second": rate, "p50_ms": p50, "p99_ms": "40"}
        for c, kind, rate, p50 in (
            ("torch", "files", "30", "33"),
            ("torch", "arrays", "50", "20"),
            ("onnx", "files", "60", "17"),
        )
    ]
    found = load("tables.cost").scoring(rows)
    assert "| torch | 1 | 33 ms (20 ms) | 40 ms (40 ms) | 30 (50) | 0.50 GiB |" in found
    assert "onnx" not in found


def test_the_precision_table_compares_seed_by_seed(load: Callable[[str], ModuleType]) -> None:
    figures = {"pixel_auroc": "0.9", "aupro": "0.8", "steps": "10"}
    rows = [
        LOOK | figures | {"seed": seed, "precision": p, "image_auroc": value, "train_seconds": seconds}
        for seed, p, value, seconds in (
            ("0", "bf16", "0.91", "50"),
            ("0", "32", "0.90", "100"),
            ("1", "bf16", "0.93", "50"),
            ("1", "32", "0.96", "100"),
            ("2", "bf16", "0.5", "50"),
        )
    ]
    lines = load("tables.choices").precision(rows).splitlines()
    assert "91.0 / 90.0 (+1.0)" in lines[2]
    assert "93.0 / 96.0 (-3.0)" in lines[3]
    assert lines[4].startswith("| mean | 92.0 / 93.0 (-1.0)")  # of the seeds that have both
    assert lines[4].endswith("50 / 100 s (0.50) |")


def recipe_rows() -> list[dict[str, str]]:
    return [
        LOOK
        | {"lr": lr, "seed": seed, "step": step, "image_auroc": auroc, "pixel_auroc": "0.9"}
        | {"seconds": step, "precision": "bf16", "schedule": "constant"}
        for lr, seed, step, auroc in (
            ("0.005", "0", "50", "0.7"),
            ("0.005", "0", "100", "0.8"),
            ("0.005", "1", "50", "0.8"),
            ("0.005", "1", "100", "0.9"),
            ("0.005", "0", "200", "0.1"),
            ("0.001", "0", "50", "0.1"),
        )
    ]


def test_the_recipe_table_and_drawing_leave_out_a_recipe_that_lacks_a_seed(
    load: Callable[[str], ModuleType],
) -> None:
    found = load("tables.choices").recipe(recipe_rows())
    assert "| batch 8, lr 0.005, constant | 75.0 / 90.0 (50 s) | 85.0 / 90.0 (100 s) |" in found
    assert "0.001" not in found
    drawn = load("tables.drawings").recipe(recipe_rows())
    assert "batch 8, lr 0.005, constant, pixel" in drawn
    assert "0.001" not in drawn


@pytest.mark.parametrize("form", ["squared", "abs"])
def test_the_naive_affinity_is_what_ours_is(load: Callable[[str], ModuleType], form: Any) -> None:
    pair = Pair(torch.randn(3, 4, 5, 2), torch.randn(3, 4, 5, 2))
    for shift in (0, 1):
        naive = load("naive_affinity").naive_affinity_distillation(pair, shift, form)
        torch.testing.assert_close(naive, affinity_distillation(pair, shift, form))


def test_rows_are_put_under_their_columns_whatever_their_order(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    machine, file = load("machine"), tmp_path / "results.csv"
    machine.append(file, [{"a": 1, "b": 2}])
    machine.append(file, [{"b": 4, "a": 3}])
    assert machine.read(file) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_a_job_that_takes_too_long_gives_the_rows_for_that(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    script, out = tmp_path / "slow.py", tmp_path / "results.csv"
    script.write_text("import time\ntime.sleep(60)\n")
    load("apart").run_missing(str(script), None, out, {"job": "x"}, 0.2, [{"job": "x", "outcome": "late"}])
    assert load("machine").read(out) == [{"job": "x", "outcome": "late"}]


def test_what_asks_for_more_memory_than_its_cap_fails_and_is_known_by_it() -> None:
    lines = (
        "from memory import cap_memory, is_out_of_memory",
        "cap_memory(0.05)",
        "room = bytearray(20_000_000)",
        "try: bytearray(100_000_000)",
        "except Exception as error: print(is_out_of_memory(error))",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=FOLDER, capture_output=True, text=True
    )
    assert done.stdout == "True\n"


def test_the_compiling_table_tells_speed_start_and_loss_side_by_side(
    load: Callable[[str], ModuleType],
) -> None:
    rows = [
        LOOK
        | {"computed_in": "bf16", "compiled": compiled, "step_ms": step, "peak_mib": "1024"}
        | {"first_report_s": start, "loss": "1.5", "steps": "40"}
        for compiled, step, start in (("False", "200", "2"), ("True", "150", "80"))
    ]
    found = load("tables.cost").compiled(rows)
    assert "| `m` | bf16 | 200 ms | 150 ms | 0.75 | 1.00 GiB | 1.00 GiB | 1.00 | 2.0 s | 80.0 s |" in found
    assert "`m`" not in load("tables.cost").compiled(rows[:1]).partition("\n\n")[0]  # a half has no ratio


def quality_rows(**values: str) -> list[dict[str, str]]:
    """Two seeds of two categories, of which the second has no masks."""
    return [
        LOOK
        | {"category": category, "seed": seed, "image_auroc": auroc, "pixel_auroc": pixel}
        | {"precision": "bf16"}
        | values
        for category, pixel in (("a", "0.9"), ("b", ""))
        for seed, auroc in (("0", "0.8"), ("1", "0.9"))
    ]


def test_a_memory_bank_is_told_by_category_where_masks_are_missing_too(
    load: Callable[[str], ModuleType],
) -> None:
    found = load("tables.quality").memory_bank(quality_rows(size="256", grid="16"))
    assert "| 256 px | 16 x 16 | 85.0 / 90.0 | 85.0 / – | 85.0 / 90.0 |" in found


def test_a_reproduction_is_told_by_row_and_only_with_all_of_its_seeds_and_categories(
    load: Callable[[str], ModuleType],
) -> None:
    common = {"models": "unified", "length": "10 steps", "train_seconds": "60", "threads": "2"}
    whole, part = quality_rows(row="RD", **common), quality_rows(row="SNL(RD)", **common)[:3]
    terms = quality_rows(row="+ L_sd", **common | {"threads": "1"})
    rows = [row | {"table": "snl-1"} for row in whole + part] + [row | {"table": "snl-5"} for row in terms]
    tables, mean = load("tables.reproduced"), "**85.0 ± 5.0 / 90.0 ± 0.0**"
    found = tables.baselines(rows)
    assert f"| RD | 85.0 / 90.0 | 85.0 / – | {mean} | 60 s |" in found
    assert '--table snl-1 --rows "RD" --seeds 0,1 --steps 10' in found
    assert "SNL(RD)" not in found
    assert tables.baselines(rows[4:]) == ""  # nothing is whole
    assert f"| + L_sd | 85.0 / 90.0 | 85.0 / – | {mean} |\n" in tables.terms(rows)  # of shared cores
    assert tables.centres(rows) == ""


def test_a_memory_bank_finds_its_own_cells_again_and_not_those_of_others(
    load: Callable[[str], ModuleType],
) -> None:
    bank = load("memory_bank").MemoryBank(4)
    features = [torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)]
    bank.remember([features])
    (own,) = bank(None, features)
    assert torch.cosine_similarity(own.teacher, own.student).min() > 0.999  # but for bf16
    (other,) = bank(None, [torch.randn_like(f) for f in features])
    assert torch.cosine_similarity(other.teacher, other.student).max() < 0.9


def compared(seeds: int = 3) -> dict[str, list[dict[str, str]]]:
    """Results of the default and of all that it is set beside, better by ten points than all of them."""

    def rows(auroc: str, **values: str) -> list[dict[str, str]]:
        two = [row for row in quality_rows(**values) if row["seed"] == "0"]
        kept = {"threads": "2", "steps": "400", "train_seconds": "90"}
        return [
            row | kept | {"seed": str(seed), "image_auroc": auroc} for seed in range(seeds) for row in two
        ]

    return {
        "variations": rows("0.9", variant="default")
        + rows("0.8", variant="one-class")
        + rows("0.8", variant="RD by our recipe")
        + rows("0.9", variant="terms kept to the end"),
        "reproduction": rows("0.8", table="snl-1", row="RD", models="unified", length="9 steps")
        + rows("0.8", table="snl-1", row="SNL(RD)", models="unified", length="9 steps"),
        "memory_bank": rows("0.8", size="256", grid="16") + rows("0.7", size="256", grid="32"),
    }


def test_what_is_asked_of_the_default_is_told_beside_what_was_measured(
    load: Callable[[str], ModuleType],
) -> None:
    tables, found = load("tables.comparison"), compared()
    asked = tables.required(found.__getitem__)
    assert "image AUROC | at least 3 | +10.0 points |" in asked
    assert "below it in a category, image AUROC (worst: b) | at most 1 | -10.0 points |" in asked
    assert "the same, pixel AUROC (worst: a) | at most 1 | +0.0 points |" in asked
    assert "below one-class models, image AUROC | at most 1 | -10.0 points |" in asked
    assert "its better grid | at least 2 | +10.0 points |" in asked
    assert "the slowest seed | in 15 min | 1.5 min |" in asked
    summary = tables.summary(found.__getitem__)
    assert "| **SNL(RD), ours, the default** | 90.0 / 90.0 | 90.0 / – |" in summary
    assert "| RD, ours | 80.0 / 90.0 | 80.0 / – |" in summary


def test_nothing_is_compared_until_all_seeds_of_all_models_are_there(
    load: Callable[[str], ModuleType],
) -> None:
    tables, found, fewer = load("tables.comparison"), compared(), compared(2)
    for name in found:
        assert tables.summary((found | {name: []}).__getitem__) == ""
    for name in ("variations", "reproduction"):
        assert tables.required((found | {name: fewer[name]}).__getitem__) == ""
    one = found | {"memory_bank": compared(1)["memory_bank"]}
    assert "| memory bank, 16 x 16, seed 0 alone |" in tables.summary(one.__getitem__)


def test_the_same_trainings_on_two_processors_stand_side_by_side(load: Callable[[str], ModuleType]) -> None:
    tables, found = load("tables.comparison"), compared()
    assert (
        tables.processors((found | {"variations_elsewhere": [], "reproduction_elsewhere": []}).__getitem__)
        == ""
    )
    for name in ("variations", "reproduction"):
        found[f"{name}_elsewhere"] = [
            row | {"machine": "slow, 1 core", "image_auroc": "0.7"} for row in found[name]
        ]
    lines = tables.processors(found.__getitem__).splitlines()
    assert lines[0].endswith("| slow |")
    kept = "| SNL(RD), ours, terms kept to the end |"
    assert f"{kept} 90.0 ± 0.0 / 90.0 ± 0.0 | 70.0 ± 0.0 / 90.0 ± 0.0 |" in lines


def test_a_variation_that_lacks_a_seed_is_left_out_and_seconds_are_of_both_cores(
    load: Callable[[str], ModuleType],
) -> None:
    rows = compared()["variations"]
    rows += [row | {"variant": "alone", "threads": "1"} for row in rows[:6]]
    rows += [row | {"variant": "short"} for row in rows[:2]]
    rows += [row | {"variant": "two seeds"} for row in rows[:4]]
    found = load("tables.variations").variations(rows)
    assert "| default | 90.0 / 90.0 | 90.0 / – | **90.0 ± 0.0 / 90.0 ± 0.0** | 90 s |" in found
    assert "| alone | 90.0 / 90.0 | 90.0 / – | **90.0 ± 0.0 / 90.0 ± 0.0** |  |" in found
    assert "short" not in found
    rows += [row | {"variant": "terms kept to the end"} for row in rows[:6]]
    once = load("tables.variations").once(rows)
    assert "| short | 90.0 / 90.0 | 90.0 / – | **90.0 / 90.0** | 90 s |" in once
    assert "| terms kept to the end | 90.0 / 90.0 |" in once
    assert "| alone |" not in once
    assert "two seeds" not in once + found


def test_the_recipe_is_told_step_by_step_in_its_order(load: Callable[[str], ModuleType]) -> None:
    tables, rows = load("tables.variations"), compared()["variations"]
    whole = [row | {"variant": name} for name in reversed(tables.LADDER) for row in rows[:6]]
    found = tables.recipe_step_by_step([*whole, *rows[6:]])
    lines = found.partition("\n\n")[0].splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [f"| {name}" for name in tables.LADDER]
    assert "one-class" not in found.partition("\n\n")[0]
    assert "RD" not in tables.variations([*whole, *rows[6:]]).partition("\n\n")[0]


def test_every_variation_can_be_asked_of_a_fit_and_changes_something(
    load: Callable[[str], ModuleType],
) -> None:
    def trained_as(values: dict[str, object]) -> str:
        """All that a training of six products comes from, what is left to the recipe included."""
        options = fit_options(values)
        recipe = recipe_of(options)
        recipe = replace(recipe, settings=settings_for(options.method, recipe.settings).model_dump())
        steps = options.max_steps or round(recipe.seen(6) / recipe.batch_size)
        return repr((options.method, recipe, steps, options.teacher, options.strides, options.image_size))

    variants = load("variations").VARIANTS
    unified = [trained_as(own) for name, own in variants.items() if not name.startswith("one-class")]
    assert len(set(unified)) == len(unified)


def test_a_memory_bank_has_the_map_of_the_default(
    load: Callable[[str], ModuleType], factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, seen = load("memory_bank"), []

    def look(model: Model, data: Path, categories: tuple[str, ...]) -> Evaluation:
        seen.append(model.distiller)
        return evaluate(model, data, categories)

    monkeypatch.setattr(script.understudy, "evaluate", look)
    (row,) = script.run(factory, seed=0, size=64, grid=4, trained_on="nut")
    assert (row["category"], row["grid"], row["image_size"]) == ("nut", 4, 64)
    assert 0 <= row["image_auroc"] <= 1
    (bank,) = seen
    assert bank.to_map.sigma == 1.0
    assert bank.student.bank.shape[1] % 16 == 0


def test_interference_is_told_by_recipe_and_number_of_categories(
    load: Callable[[str], ModuleType],
) -> None:
    rows = [
        row | {"recipe": "r", "what": what, "count": count, "image_auroc": auroc}
        for what, count, auroc in (
            ("one-class", "5", "0.9"),
            ("evaluate", "5", "0.8"),
            ("evaluate", "10", "0.7"),
        )
        for row in quality_rows()
    ]
    mixed = rows[0] | {"category": "", "aupro": ""}
    for what, auroc in (("mix", "0.95"), ("mix, index", "0.01"), ("paste", "0.9"), ("paste, index", "-0.02")):
        rows.append(mixed | {"what": what, "image_auroc": auroc, "pixel_auroc": auroc})
    tables = load("tables.interference")
    assert (
        "| r | 90.0 ± 0.0 / 90.0 ± 0.0 | 80.0 ± 0.0 / 90.0 ± 0.0 | 70.0 ± 0.0 / 90.0 ± 0.0 |"
        in tables.interference(rows)
    )
    assert "| r | 95.0 | 1.0 | 90.0 | -2.0 | – | – |" in tables.diagnoses(rows)


@pytest.mark.parametrize("count", [5, 10, 20])
def test_categories_are_real_then_made_then_turned(
    count: int, load: Callable[[str], ModuleType], tmp_path: Path, factory: Path
) -> None:
    script = load("interference")
    for name in (*script.FIVE, script.SIXTH):
        shutil.copytree(factory / "nut", tmp_path / "real" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "FactoryPlan", partial(script.FactoryPlan, train=1, size=32))
        script.gather(tmp_path / "real", tmp_path / "all", count)
    found = open_pictures(tmp_path / "all")
    assert len(found.categories) == count
    assert set(script.FIVE) <= set(found.categories)


def test_defects_are_pasted_on_held_out_good_pictures_and_test_pictures_are_not_read(
    load: Callable[[str], ModuleType], tmp_path: Path, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load("pasted")
    monkeypatch.setattr(script, "EACH", 1)
    real, out = tmp_path / "real", tmp_path / "pasted"
    for name in ("linen", "nut"):
        shutil.copytree(factory / name, real / name)
    script.paste(real, out, ["linen", "nut"])
    script.paste(real, tmp_path / "again", ["linen", "nut"])
    before, after = open_pictures(real), open_pictures(out)
    good = [record for record in after.test() if record.is_good]
    assert {record.category for record in good} == {"linen", "nut"}
    assert {r.path.resolve() for r in (*after.train(), *good)} == {r.path for r in before.train()}
    assert all(
        (real / path.relative_to(out).parts[0] / "train" / "good").resolve() == path.resolve().parent
        for path in out.rglob("*")
        if path.is_symlink()
    )
    originals = [read_picture(record.path).astype(int) for record in good]
    spoiled = [record for record in after.test() if not record.is_good]
    assert {(r.category, r.defect) for r in spoiled} == {
        (c, k) for c in ("linen", "nut") for k in script.KINDS
    }
    for record in spoiled:
        picture = read_picture(record.path)
        mask = read_masks(record, picture.shape[:2])
        changes = [np.abs(picture - original).mean(-1) for original in originals]
        change = min(changes, key=np.sum)  # of the picture that it was drawn on
        assert mask is not None
        assert set(np.unique(mask > 0)) == {False, True}
        assert change[mask > 0].mean() > 10 * change[mask == 0].mean()
        twin = tmp_path / "again" / record.path.relative_to(out)
        assert (read_picture(twin) == picture).all()


def test_defects_are_not_pasted_into_a_folder_that_is_there(
    load: Callable[[str], ModuleType], tmp_path: Path, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["pasted.py", "--data", str(factory), "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        load("pasted").main()
    assert not list(tmp_path.iterdir())
