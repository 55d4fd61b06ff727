"""The report in a real browser, on a phone's width and on a desk's."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from understudy import Evaluation, Inspector
from understudy.evaluate import evaluate
from understudy.evaluate.report.page import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = os.environ.get("UNDERSTUDY_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
QUIETLY = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--dump-dom"),
)
MEASURE = """
addEventListener("load", () => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument;
  const images = [...page.images], root = page.documentElement;
  const drawings = [...page.querySelectorAll("figure svg")].map(each => each.getBoundingClientRect());
  const visited = frame.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name);
  document.title = JSON.stringify({
    heading: page.querySelector("h1").innerText,
    overflow: root.scrollWidth - frame.clientWidth,
    images: images.length,
    broken: images.filter(image => !image.complete || !image.naturalWidth).length,
    scripts: page.scripts.length,
    visited: visited.filter(name => !name.startsWith("data:")),
    drawings: drawings.filter(box => box.width > 40 && box.height > 40).length,
  });
  frame.remove();
});
"""

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser is installed: none of {', '.join(NAMES)}, no UNDERSTUDY_CHROMIUM"
)


@pytest.mark.parametrize("width", [390, 1200])
def test_the_report_renders_whole_within_the_width_and_asks_the_network_for_nothing(
    width: int, inspector: Inspector, factory: Path, tmp_path: Path
) -> None:
    write_report(
        tmp_path / "report.html",
        inspector,
        _with_long_names(evaluate(inspector, factory)),
        "understudy " * 40,
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    seen, console = _seen(page, width, tmp_path)
    assert seen["heading"] == "Understudy inspection report"
    assert seen["overflow"] <= 0
    assert seen["images"] == page.count("<img") > 0
    assert seen["broken"] == 0
    assert seen["scripts"] == 0
    assert seen["visited"] == []
    assert seen["drawings"] == 2 * 5  # a histogram and a curve of each category and of all
    assert console == []


def _with_long_names(found: Evaluation) -> Evaluation:
    """The same, of a category whose name is one word of 200 letters."""
    long = {"nut": "n" * 200}
    tested = [
        replace(t, record=replace(t.record, category=long.get(t.record.category, t.record.category)))
        for t in found.tested
    ]
    categories = {long.get(c, c): row for c, row in found.metrics["categories"].items()}
    worst = {name: [long["nut"], 0.5] for name in found.metrics["worst"]}
    unreadable = ["/" + "u" * 300]
    metrics = found.metrics | {"categories": categories, "worst": worst, "unreadable": unreadable}
    thresholds = {long.get(c, c): own for c, own in found.thresholds.items()}
    return Evaluation(tested, [], metrics, thresholds)


def _seen(page: str, width: int, folder: Path) -> tuple[Mapping[str, Any], list[str]]:
    """What a browser makes of a page in a frame of a width, and what it complains about."""
    frame = f'<iframe style="width:{width}px;height:844px;border:0" srcdoc="{html.escape(page)}"></iframe>'
    outer = folder / "frame.html"
    outer.write_text(
        f'<!doctype html><meta charset="utf-8"><script>{MEASURE}</script>{frame}', encoding="utf-8"
    )
    own = (f"--window-size={width},844", f"--user-data-dir={folder / 'profile'}")
    command = [str(BROWSER), *QUIETLY, *own, outer.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stderr[-2000:]
    return json.loads(html.unescape(title[1])), [
        line for line in done.stderr.splitlines() if "CONSOLE" in line
    ]
