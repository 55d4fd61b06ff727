"""The table of a campaign, on the terminal and in the documentation."""

from __future__ import annotations

import platform
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robustness.judge import COLUMNS, Verdict

BEGIN, END = "<!-- campaign: begin -->\n", "<!-- campaign: end -->\n"
AGAIN, AGAIN_END = "<!-- again: begin -->\n", "<!-- again: end -->\n"  # a part of it, run after a mend
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Campaign:
    """The verdicts of one run, its seed, and how many seconds it took."""

    verdicts: Sequence[Verdict]
    seed: int
    seconds: float


def table(campaign: Campaign) -> str:
    """Return the table, in Markdown: one row a kind, and their sum."""
    by_kind: dict[str, Counter[str]] = {}
    for verdict in campaign.verdicts:
        by_kind.setdefault(verdict.kind, Counter())[verdict.outcome] += 1
    rows = [*sorted(by_kind.items()), ("**all**", sum(by_kind.values(), Counter()))]
    lines = [f"| kind | tried | {' | '.join(COLUMNS)} |", f"|---|{'--:|' * (len(COLUMNS) + 1)}"]
    for name, counts in rows:
        numbers = (counts.total(), *(counts[column] for column in COLUMNS))
        lines.append(f"| {name} | {' | '.join(f'{n:,}' for n in numbers)} |")
    return "\n".join(lines)


def describe(verdict: Verdict, seed: int) -> str:
    """Return what happened in one case, and how to run it alone."""
    again = f"--seed {seed} --only '{verdict.kind}' --case {verdict.number}"
    detail = "\n    ".join(verdict.detail.strip().splitlines()[-12:])
    noise = f"\n    noise: {verdict.noise[-400:]}" if verdict.noise else ""
    head = f"{verdict.outcome}: {verdict.kind}: {verdict.note} ({verdict.seconds:.1f} s)"
    return f"{head}\n    {detail}{noise}\n    again: {again}"


def write(path: Path, campaign: Campaign, *, whole: bool = True) -> None:
    """Put the table of a campaign into a page, between its two marks; a part of one has marks of its own."""
    begin, end = (BEGIN, END) if whole else (AGAIN, AGAIN_END)
    head, _, rest = path.read_text(encoding="utf-8").partition(begin)
    tail = rest.partition(end)[2]
    ran = (
        f"\n{len(campaign.verdicts):,} cases, seed {campaign.seed}, commit {commit()}, {processor()}, Python "
        f"{platform.python_version()}, {campaign.seconds / 60:.0f} minutes.\n"
    )
    path.write_text(f"{head}{begin}{table(campaign)}\n{ran}{end}{tail}", encoding="utf-8")


def commit() -> str:
    """Short name of the commit, with a mark if the tree differs from it."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def processor() -> str:
    """Name of the processor."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
