"""The table of ``station.py``: what a station costs beside the runtime alone."""

from __future__ import annotations

import json
from typing import Any

from tables.wording import Row, made_on, table

__all__ = ["cost"]

COMMAND = (
    "python benchmarks/station.py --model EXPORTED --data REALBENCH --out benchmarks/results/station.csv"
)


def cost(rows: list[Row]) -> str:
    """Show latency, throughput, memory and what a kill loses; the last row of each part counts."""
    last: dict[str, Any] = {row["part"]: json.loads(row["figures"]) for row in rows}
    lines: list[list[str]] = []
    if found := last.get("latency"):
        lines += [
            ["one picture at a time, over HTTP, p50 / p99", _ms(found, "station")],
            ["the runtime alone, p50 / p99", _ms(found, "runtime")],
            ["the station's share, p50", f"{found['overhead_p50']:.1f} ms"],
        ]
    if found := last.get("throughput"):
        lines += [
            ["eight clients", f"{found['station_per_second']:.0f} pictures a second"],
            ["`predict`, batches of eight", f"{found['predict_per_second']:.0f} pictures a second"],
            ["the station's part of that", f"{100 * found['share']:.0f} %"],
        ]
    if found := last.get("memory"):
        tenth = found["calls"] // 10
        lines.append([f"memory after {tenth:,} and {found['calls']:,} calls", _memory(found)])
    if found := last.get("kill"):
        told = f"{found['missing']} missing, {found['doubled']} doubled"
        lines.append([f"{found['acknowledged']:,} acknowledged records, {found['kills']} kill -9", told])
    note = f"\nClients and station share the cores, {made_on(rows)}. Made by `{COMMAND}`."
    return table(["what", "figure"], lines) + note


def _ms(found: dict[str, Any], what: str) -> str:
    return f"{found[f'{what}_p50']:.1f} / {found[f'{what}_p99']:.1f} ms"


def _memory(found: dict[str, Any]) -> str:
    return f"{found['mib'][0]:.0f} and {found['mib'][-1]:.0f} MiB"
