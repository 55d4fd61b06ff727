"""Every kind of cases, by name."""

from __future__ import annotations

from collections.abc import Mapping

from robustness import faults, layouts, lists, masks, models, options, outputs, pictures, stops
from robustness.judge import Kind

FAMILIES = (pictures, models, masks, lists, layouts, options, outputs, stops, faults)
KINDS: Mapping[str, Kind] = {kind.name: kind for family in FAMILIES for kind in family.KINDS}
