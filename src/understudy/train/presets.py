"""Presets: method, teacher and picture size by what matters most, speed or accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from understudy.types import EMBEDDED_TEACHER, PresetName

__all__ = ["PRESETS", "PRESET_FIELDS", "with_preset"]

PRESETS: Mapping[PresetName, Mapping[str, Any]] = {
    "fast": {"method": "snl-rd", "teacher": EMBEDDED_TEACHER, "image_size": 256},
    "balanced": {"method": "snl-rd", "teacher": EMBEDDED_TEACHER, "image_size": 384},
    "accurate": {"method": "snl-rd", "teacher": EMBEDDED_TEACHER, "image_size": 512},
}
"""Options of a training, by preset. docs/results.md has what each finds, and what it costs."""

PRESET_FIELDS = frozenset(name for options in PRESETS.values() for name in options)
"""Options that a preset sets."""


def with_preset(given: Mapping[str, Any], default: PresetName) -> dict[str, Any]:
    """Add the options of the preset that is asked for; an option that is given and not ``None`` stays.

    Args:
        given: options by name, not yet validated.
        default: preset if none is named.
    """
    name = given.get("preset") or default
    # An unknown name is refused when options are validated; one that cannot be hashed, too.
    options = PRESETS[name] if name in list(PRESETS) else {}
    return {**given, **{k: v for k, v in options.items() if given.get(k) is None}}
