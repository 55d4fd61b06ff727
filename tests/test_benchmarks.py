"""The benchmarks' own code: jobs, tables, drawings, data sets; and every script starts."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from understudy.data.layouts import open_pictures
from understudy.evaluate import read_masks
from understudy.methods import settings_for
from understudy.runtime.images import read_picture
from understudy.train.options import FitOptions, fit_options
from understudy.train.plan import recipe_of

FOLDER = Path(__file__).parent.parent / "benchmarks"
PAGE = (FOLDER / "README.md").read_text()
SCRIPTS = [p.stem for p in sorted(FOLDER.glob("*.py")) if "def main() -> None:" in p.read_text()]
ROW = {"machine": "a machine", "date": "2026-01-01", "commit": "abc", "image_size": "256", "teacher": "t"}
ROW |= {"method": "m", "trained_on": "a b", "batch_size": "8", "precision": "bf16"}
Rows = list[dict[str, str]]
load = importlib.import_module


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_starts_and_has_the_options_that_the_page_gives_it(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit, match="0"):
        load(script).main()
    known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    given = re.findall(rf"python benchmarks/{script}\.py([^`]*)`", PAGE)
    assert given
    assert set(re.findall(r"--[\w-]+", " ".join(given))) <= known


def test_a_table_without_results_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    render = load("render")
    monkeypatch.setattr(render, "RESULTS", tmp_path)
    page = "<!-- startup: begin -->\n{}<!-- startup: end -->\nrest"
    assert render.rendered(page.format("old\n")) == page.format(render.NOT_RUN)
    assert render.drawn() == {}


def test_rows_go_under_their_columns_whatever_their_order(tmp_path: Path) -> None:
    machine, file = load("machine"), tmp_path / "results.csv"
    machine.append(file, [{"a": 1, "b": 2}])
    machine.append(file, [{"b": 4, "a": 3}])
    assert machine.read(file) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_a_job_that_takes_too_long_gets_the_rows_for_that(tmp_path: Path) -> None:
    script, out = tmp_path / "slow.py", tmp_path / "results.csv"
    script.write_text("import time\ntime.sleep(60)\n")
    load("apart").run_missing(str(script), None, out, {"job": "x"}, 0.2, [{"job": "x", "outcome": "late"}])
    assert load("machine").read(out) == [{"job": "x", "outcome": "late"}]


def test_jobs_at_a_time_share_the_cores_and_leave_the_rows_of_jobs_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart, script = load("apart"), tmp_path / "job.py"
    script.write_text(
        "import json, os, sys\nsys.path.insert(0, os.environ['BENCHMARKS'])\n"
        "from answers import print_rows\njob = json.loads(sys.argv[sys.argv.index('--run') + 1])\n"
        "if job['n'] == 2: raise SystemExit(1)\n"
        "print_rows([job | {'threads': os.environ.get('OMP_NUM_THREADS'), 'square': job['n'] ** 2}])\n"
    )
    monkeypatch.setenv("BENCHMARKS", str(FOLDER))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(apart, "threads_each", lambda workers: 8 // workers)
    jobs = [{"n": n} for n in range(5)]
    for workers, file in ((1, "turn.csv"), (4, "once.csv"), (4, "turn.csv")):
        assert apart.run_all_missing(str(script), None, tmp_path / file, jobs, workers) == [{"n": 2}]
    turn, once = (
        sorted(load("machine").read(tmp_path / f), key=lambda r: r["n"]) for f in ("turn.csv", "once.csv")
    )
    assert turn == once == [{"n": str(n), "threads": "2", "square": str(n * n)} for n in (0, 1, 3, 4)]


def test_a_process_that_asks_for_more_than_its_cap_fails_and_says_why() -> None:
    code = (
        "from memory import cap_memory, is_out_of_memory\ncap_memory(0.05)\nroom = bytearray(20_000_000)\n"
        "try: bytearray(100_000_000)\nexcept Exception as error: print(is_out_of_memory(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True)
    assert done.stdout == "True\n"


def affinity_rows() -> Rows:
    """Memory of ours grows with the pixels; the whole matrices do not fit where there are many."""
    same = ROW | {"strides": "4 8 16", "memory_cap_gb": "20", "seconds": "1.5"}
    rows = []
    for size, naive in ((256, "measured"), (512, "does not fit")):
        each = same | {"image_size": str(size), "naive_needs_gb": str(2 * (size / 256) ** 4)}
        rows.append(each | {"form": "squared", "outcome": "measured", "own_mib": str(size**2 / 64)})
        rows.append(each | {"form": "naive abs", "outcome": naive, "own_mib": "2048"})
    return rows


def test_affinities_that_did_not_fit_are_told_and_those_measured_are_drawn() -> None:
    cost, plot = load("tables.cost"), load("plot")
    found, drawn = cost.affinity(affinity_rows()), plot.affinity(affinity_rows())
    assert "| 8 | 256 px | 1.50 s, 1.00 GiB | 1.50 s, 2.00 GiB |" in found
    assert "| 8 | 512 px | 1.50 s, 4.00 GiB | does not fit: 32 GB of matrices at least |" in found
    assert "to the power of 1.00" in found
    words = " ".join(ElementTree.fromstring(drawn).itertext())
    assert all(word in words for word in ("squared", "naive abs", "256 × 256", "512 × 512"))
    assert plot.affinity(affinity_rows()) == drawn


def quality_rows(**values: str) -> Rows:
    """Two seeds of two categories; the second has no masks."""
    same = ROW | {"threads": "2", "steps": "9", "train_seconds": "90"} | values
    return [
        same | {"category": c, "seed": seed, "image_auroc": auroc, "pixel_auroc": pixel}
        for c, pixel in (("a", "0.9"), ("b", ""))
        for seed, auroc in (("0", "0.8"), ("1", "0.9"))
    ]


def test_a_recipe_or_a_point_that_lacks_a_seed_is_in_no_table_and_no_drawing() -> None:
    same = {"schedule": "constant", "seconds": "50"}
    rows = quality_rows(lr="0.005", step="100", **same) + quality_rows(lr="0.005", step="200", **same)[::2]
    rows += quality_rows(lr="0.001", step="100", **same)[:1]
    found, drawn = load("tables.choices").recipe(rows), load("plot").recipe(rows)
    assert "| batch 8, lr 0.005, constant | 85.0 / 90.0 (50 s) |  |" in found
    assert "batch 8, lr 0.005, constant, pixel" in drawn
    assert "0.001" not in found + drawn


def test_the_default_is_compared_once_all_seeds_of_all_models_exist() -> None:
    def rows(auroc: str, **values: str) -> Rows:
        both = quality_rows(**values)[::2]
        return [row | {"image_auroc": auroc, "seed": seed} for row in both for seed in "012"]

    paper = {"table": "snl-1", "models": "unified", "length": "9 steps"}
    found = {
        "variations": rows("0.9", variant="default") + rows("0.8", variant="one-class"),
        "reproduction": rows("0.8", row="RD", **paper) + rows("0.8", row="SNL(RD)", **paper),
        "memory_bank": rows("0.8", size="256", grid="16"),
    }
    found["variations"] += rows("0.8", variant="RD by our recipe")
    tables = load("tables.comparison")
    assert "| **SNL(RD), ours, the default** | 90.0 / 90.0 | 90.0 / – |" in tables.summary(found.get)
    assert "| above RD, the papers' recipe | +10.0 points | +0.0 points |" in tables.differences(found.get)
    for name in found:
        assert tables.summary((found | {name: []}).get) == ""


def test_every_variation_can_be_asked_of_a_fit_and_changes_something() -> None:
    def trained_as(values: dict[str, object]) -> str:
        options = fit_options(values)
        recipe = recipe_of(options)
        recipe = replace(recipe, settings=settings_for(options.method, recipe.settings).model_dump())
        steps = options.max_steps or round(recipe.seen(6) / recipe.batch_size)
        return repr((options.method, recipe, steps, options.teacher, options.strides, options.image_size))

    variants = load("variations").VARIANTS
    unified = [trained_as(own) for name, own in variants.items() if not name.startswith("one-class")]
    assert len(set(unified)) == len(unified)


def test_every_candidate_for_a_default_can_be_asked_of_a_fit_and_answers_a_question() -> None:
    candidates = load("candidates")
    assert {n for names in candidates.QUESTIONS.values() for n in names} == set(candidates.CANDIDATES)
    for name, options in candidates.CANDIDATES.items():
        assert "," not in name
        if "preset" not in options or "preset" in FitOptions.model_fields:
            recipe_of(fit_options(options))


def test_a_memory_bank_finds_its_own_cells_and_is_evaluated_without_a_training(factory: Path) -> None:
    script = load("memory_bank")
    bank, features = script.MemoryBank(4), [torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)]
    bank.remember([features])
    (own,), (other,) = bank(None, features), bank(None, [torch.randn_like(f) for f in features])
    assert torch.cosine_similarity(own.teacher, own.student).min() > 0.999  # bf16 rounds
    assert torch.cosine_similarity(other.teacher, other.student).max() < 0.9
    (row,) = script.run(factory, seed=0, size=64, grid=4, trained_on="nut")
    assert (row["category"], row["image_size"], 0 <= row["image_auroc"] <= 1) == ("nut", 64, True)


@pytest.mark.parametrize("count", [5, 10, 20])
def test_categories_are_real_then_made_then_turned(
    count: int, tmp_path: Path, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load("interference")
    monkeypatch.setattr(script, "FactoryPlan", partial(script.FactoryPlan, train=1, size=32))
    for name in (*script.FIVE, script.SIXTH):
        shutil.copytree(factory / "nut", tmp_path / "real" / name)
    script.gather(tmp_path / "real", tmp_path / "all", count)
    found = open_pictures(tmp_path / "all").categories
    assert len(found) == count
    assert set(script.FIVE) <= set(found)


def test_defects_are_drawn_on_copies_of_held_out_good_pictures(
    tmp_path: Path, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, out = load("pasted"), tmp_path / "pasted"
    monkeypatch.setattr(script, "EACH", 1)
    script.paste(factory, out, ["linen", "nut"])
    before, after = open_pictures(factory).only(["linen", "nut"]), open_pictures(out)
    good = [record for record in after.test() if record.is_good]
    assert {r.path.resolve() for r in (*after.train(), *good)} == {r.path for r in before.train()}
    originals = [read_picture(record.path).astype(int) for record in good]
    spoiled = [record for record in after.test() if not record.is_good]
    assert sorted(r.defect for r in spoiled) == sorted([*script.KINDS, *script.KINDS])
    for record in spoiled:
        picture = read_picture(record.path)
        mask = read_masks(record, picture.shape[:2])
        change = min((np.abs(picture - original).mean(-1) for original in originals), key=np.sum)
        assert change[mask].mean() > 10 * change[~mask].mean()
