"""Imports go one way, in the order that CONTRIBUTING.md shows; every import counts, lazy ones too."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIGHT = (
    "runtime",
    "calibrate",
    "station",
    "scale",
    "cli",
    "errors",
    "files",
    "folders",
    "results",
    "progress",
    "types",
    "__init__",
    "__main__",
)
HEAVY = {
    "torch",
    "timm",
    "lightning",
    "torchvision",
    "torchmetrics",
    "safetensors",
    "scipy",
    "jinja2",
    "psutil",
}


def _structure():  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location("structure", ROOT / "docs" / "structure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


structure = _structure()
KNOWN = structure.modules()
IMPORTS = structure.imports_of(KNOWN)


def test_contributing_names_every_room_once() -> None:
    rooms = structure.order()
    assert sorted(rooms) == sorted({structure.room_of(m) for m in KNOWN})
    assert len(rooms) == len(set(rooms))


def test_a_room_imports_only_from_rooms_before_it() -> None:
    place = {room: i for i, room in enumerate(structure.order())}
    upward = [
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if place[structure.room_of(other)] > place[structure.room_of(module)]
    ]
    assert upward == []


def test_no_module_imports_itself_through_others() -> None:
    # A package's own file passes on what its modules give, so only other files can be in a cycle.
    files = {m: {o for o in others if KNOWN[o].name != "__init__.py"} for m, others in IMPORTS.items()}
    graph = {m: others for m, others in files.items() if KNOWN[m].name != "__init__.py"}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a cycle of imports: {' -> '.join(error.args[1])}")


def test_the_walk_sees_lazy_imports_and_import_module(tmp_path: Path) -> None:
    file = tmp_path / "lazy.py"
    file.write_text(
        "from importlib import import_module\n"
        "def f():\n    from understudy.runtime import images\n    import understudy.model\n"
        "    import_module('understudy.kernels')\n"
    )
    assert set(structure._named(file, KNOWN)) == {"runtime.images", "model", "kernels"}


def test_the_light_rooms_name_nothing_heavy() -> None:
    named = []
    for module, path in KNOWN.items():
        if structure.room_of(module) not in LIGHT:
            continue
        tree = ast.parse(path.read_text())
        typing_only = [
            n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)
        ]
        ignored = {id(inner) for block in typing_only for inner in ast.walk(block)}
        for node in ast.walk(tree):
            if id(node) in ignored:
                continue
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            named += [f"{module}: {name}" for name in names if name.split(".")[0] in HEAVY]
    assert named == []


@pytest.mark.parametrize(
    "room",
    ["runtime.inspector", "calibrate", "data.layouts", "data.inspect", "station.server", "scale.lake", "cli"],
)
def test_a_light_room_is_imported_without_torch(room: str) -> None:
    names = ("torch", "timm", "lightning", "scipy", "psutil")
    blocked = f"import sys\nfor name in {names!r}: sys.modules[name] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{blocked}import understudy.{room}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_drawing_in_contributing_is_of_todays_source() -> None:
    assert structure.page() == structure.PAGE.read_text(), "run python docs/structure.py"


def test_no_file_of_the_package_has_more_than_400_lines() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in KNOWN.items()}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_the_number_of_modules_stays_in_bounds() -> None:
    assert sum(path.name != "__init__.py" for path in KNOWN.values()) <= 226


def test_a_public_name_means_one_thing() -> None:
    """Two rooms may not define different things under one name; verbs of the command line are thin doors."""
    homes: dict[str, list[str]] = {}
    for module, path in KNOWN.items():
        if structure.room_of(module) in (
            "cli",
            "kernels",
        ):  # a kernel has the name of its plain twin on purpose
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_files_of_one_name_are_steps_of_different_jobs() -> None:
    names = Counter(path.name for path in KNOWN.values() if path.name != "__init__.py")
    cli = {path.name for m, path in KNOWN.items() if structure.room_of(m) == "cli"}
    allowed = {"job.py", "page.py"} | cli
    assert {name for name, n in names.items() if n > 1} - allowed == set()


def test_every_module_has_tests_of_its_name() -> None:
    without = []
    for module, path in KNOWN.items():
        if path.name == "__init__.py" or module == "__main__":
            continue
        *rooms, name = module.split(".")
        folder = ROOT.joinpath("tests", *rooms)
        if not (folder / f"test_{name}.py").is_file() and not list(folder.glob(f"test_{name}_*.py")):
            without.append(module)
    assert without == []
