"""Draw the rooms of the package, their modules and who imports whom, into CONTRIBUTING.md.

    python docs/structure.py            write the drawing
    python docs/structure.py --check    exit with 1 if the drawing is not of today's source

The order of the rooms stands in CONTRIBUTING.md itself. A room imports only from those before it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "understudy"
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- structure: begin -->\n", "<!-- structure: end -->\n"
BASICS = {
    "types",
    "errors",
    "files",
    "folders",
    "results",
    "progress",
}  # imported by all: their arrows would hide the others
DOOR = "__init__"  # understudy itself, which opens every room

Imports = Mapping[str, set[str]]
"""Module -> modules of the package that it imports, lazily or for type checking too."""


def modules() -> dict[str, Path]:
    """Every module by its name below ``understudy``, such as ``runtime.images``; a package by its own."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name or DOOR] = path
    return found


def imports_of(known: Mapping[str, Path]) -> Imports:
    """Read who imports whom from the source; ``import_module("understudy.x")`` counts as well."""
    return {name: set(_named(path, known)) - {name} for name, path in known.items()}


def _named(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "understudy":
            package = (node.module or "").removeprefix("understudy").lstrip(".")
            for alias in node.names:
                full = f"{package}.{alias.name}".lstrip(".")
                yield full if full in known else package or DOOR
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "understudy":
                    yield alias.name.removeprefix("understudy").lstrip(".") or DOOR
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            for argument in node.args:
                if isinstance(argument, ast.Constant) and str(argument.value).startswith("understudy."):
                    yield str(argument.value).removeprefix("understudy.")


def room_of(module: str) -> str:
    """The room of a module: its package, or itself at the top."""
    return module.split(".")[0]


def order() -> list[str]:
    """The rooms from first to last, as the list in CONTRIBUTING.md names them."""
    text = PAGE.read_text(encoding="utf-8")
    rooms = re.findall(r"^\d+\. ((?:`[\w./]+`(?:, )?)+)", text, re.M)
    return [name for group in rooms for name in re.findall(r"`(?:understudy\.)?([\w]+)`", group)]


def drawing(rooms: list[str], known: Mapping[str, Path], imports: Imports) -> str:
    """Mermaid's text: a box a room with its modules, an arrow to each room that it imports from."""
    lines = ["```mermaid", "flowchart BT"]
    for room in rooms:
        members = [m.partition(".")[2] for m in known if room_of(m) == room and "." in m]
        inner = f"<br/><small>{_wrapped(members)}</small>" if members else ""
        lines.append(f'    {room}["<b>{room}</b>{inner}"]')
    pairs = {(room_of(m), room_of(other)) for m, others in imports.items() for other in others}
    for first in rooms:
        for second in rooms:
            if (first, second) in pairs and first != second and second not in BASICS:
                lines.append(f"    {first} --> {second}")
    return "\n".join([*lines, "```", ""])


def _wrapped(names: list[str], each: int = 4) -> str:
    return "<br/>".join(", ".join(names[i : i + each]) for i in range(0, len(names), each))


def page() -> str:
    """CONTRIBUTING.md with today's drawing."""
    known = modules()
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    count = sum(path.name != "__init__.py" for path in known.values())
    said = (
        f"{count} modules in {len({room_of(m) for m in known})} rooms, drawn by `python docs/structure.py`.\n"
    )
    return before + BEGIN + drawing(order(), known, imports_of(known)) + "\n" + said + END + after


def main() -> int:
    """Write the drawing, or compare it."""
    made = page()
    if "--check" in sys.argv[1:]:
        return int(made != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
