"""Write the licences of all direct dependencies into licences.md, from the installed packages.

    python docs/licences.py            write the table
    python docs/licences.py --check    exit with 1 if the table is not of today's pyproject.toml

Needs everything installed: pip install -c constraints.txt -e '.[train,dev]'
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
BEGIN, END = "<!-- licences: begin -->\n", "<!-- licences: end -->\n"
BASE = "every install"
_LONG = 140  # characters; a longer text is the licence itself, not its name


def needed_by() -> dict[str, list[str]]:
    """Package -> the extras that need it, or ``every install``; packages sorted by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {BASE: project["dependencies"]} | project["optional-dependencies"]
    found: dict[str, list[str]] = {}
    for group, requirements in groups.items():
        for requirement in requirements:
            name = re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")
            if name != project["name"]:
                found.setdefault(name, []).append(group)
    return dict(sorted(found.items()))


def licence_of(package: Distribution) -> str:
    """Name of a package's licence: as its metadata state it, else the first line of its licence file."""
    data = package.metadata.json
    classifiers = [c.split(" :: ")[-1] for c in data.get("classifier", ()) if c.startswith("License ::")]
    for stated in (data.get("license_expression"), data.get("license"), *classifiers):
        if stated and stated != "UNKNOWN" and len(stated) <= _LONG and "\n" not in str(stated):
            return str(stated)
    for file in package.files or ():
        if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            return next(line.strip() for line in file.read_text().splitlines() if line.strip())
    return "not stated"


def table() -> str:
    """Table of all direct dependencies."""
    rows = (
        f"| {name} | {', '.join(groups)} | {licence_of(distribution(name))} |"
        for name, groups in needed_by().items()
    )
    return "\n".join(["| package | needed by | licence |", "|---|---|---|", *rows, ""])


def page() -> str:
    """licences.md with today's table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def main() -> int:
    """Write the table, or compare it."""
    made = page()
    if "--check" in sys.argv[1:]:
        return int(made != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
