"""The campaign is a package of its own, which its command finds without pytest."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
