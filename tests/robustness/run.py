"""Run the campaign: ``python tests/robustness/run.py --cases 20000 --seed 0 --page docs/reliability.md``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from robustness import page
from robustness.judge import FAULTS, Verdict
from robustness.kinds import KINDS
from robustness.kit import make_kit
from robustness.pool import FORKS, Asked, run_cases, start_server

SHOWN = 40  # failing cases that are printed


def plan(cases: int, only: Sequence[str]) -> list[Asked]:
    """Divide the cases among the kinds by their shares; each kind gets its least number."""
    kinds = [kind for kind in KINDS.values() if (not only or kind.name in only) and kind.missing() is None]
    whole = sum(kind.share for kind in kinds)
    counts = {kind.name: max(kind.least, round(cases * kind.share / whole)) for kind in kinds}
    asked = [(k.name, n) for k in kinds for n in range(min(counts[k.name], k.most or counts[k.name]))]
    return sorted(asked, key=lambda each: -KINDS[each[0]].seconds)  # the longest first: no core waits


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; the exit code is 1 if a case ended in one of the last four columns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000, help="number of cases, about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--page", type=Path, help="page to write the table into")
    parser.add_argument("--only", action="append", default=[], choices=sorted(KINDS), help="this kind alone")
    parser.add_argument("--case", type=int, help="this case of the kind alone")
    asked = parser.parse_args(arguments)
    wanted = plan(asked.cases, asked.only) if asked.case is None else [(asked.only[0], asked.case)]
    for kind in KINDS.values():
        if reason := kind.missing():
            print(f"{kind.name}: left out, {reason}", file=sys.stderr)
    start_server()
    began = time.monotonic()
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="robustness-kit-") as place:
        kit = Path(place)
        maker = FORKS.Process(target=make_kit, args=(kit,))
        maker.start()
        maker.join()
        if maker.exitcode:
            raise SystemExit("the models that the cases start from could not be made")
        for verdict in run_cases(wanted, KINDS, kit, asked.seed, asked.workers):
            verdicts.append(verdict)
            if len(verdicts) % 1000 == 0:
                print(f"{len(verdicts)} of {len(wanted)}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    campaign = page.Campaign(verdicts, asked.seed, time.monotonic() - began)
    print(page.table(campaign))
    failed = [v for v in verdicts if v.outcome in FAULTS]
    for verdict in failed[:SHOWN] if asked.case is None else verdicts:
        print(page.describe(verdict, asked.seed))
    if asked.page:
        page.write(asked.page, campaign, whole=not asked.only)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
