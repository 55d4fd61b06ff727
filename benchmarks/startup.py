"""How long a user waits for a help text: wall time of whole processes in turn, beside Python's own start.

python benchmarks/startup.py --out benchmarks/results/startup.csv
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from machine import append, provenance

COMMANDS = {
    "python alone": ["-c", "pass"],
    "understudy --help": ["-m", "understudy", "--help"],
    "understudy fit --help": ["-m", "understudy", "fit", "--help"],
    "understudy predict --help": ["-m", "understudy", "predict", "--help"],
}


def main() -> None:
    """Time every command, round by round, and add one row for each command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    commands = {name: [sys.executable, *command] for name, command in COMMANDS.items()}
    taken = alternating(commands, asked.rounds)
    rows = [
        {
            "command": name,
            "median_s": round(median(own), 3),
            "least_s": round(min(own), 3),
            "most_s": round(max(own), 3),
            "rounds": len(own),
        }
        | provenance()
        for name, own in taken.items()
    ]
    append(asked.out, rows)
    for row in rows:
        print(f"{row['command']}: {row['median_s']} s ({row['least_s']}..{row['most_s']})")


def alternating(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[float]]:
    """Measure the seconds of each process, round by round. The first round fills caches and is left out."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if number:
                taken[name].append(time.perf_counter() - began)
    return taken


if __name__ == "__main__":
    main()
