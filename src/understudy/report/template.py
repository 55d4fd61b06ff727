"""A template and what it shows -> one page on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from understudy.runtime.bundle import writing

__all__ = ["write_page"]

_DASH = "–"
_FILTERS: dict[str, Callable[[Any], str]] = {
    "percent": lambda v: _DASH if v is None else f"{100 * v:.1f}",
    "points": lambda v: _DASH if v is None else f"{100 * v:+.1f}",
    "plain": lambda v: _DASH if v is None else f"{v:.2f}",
    "words": lambda name: name.replace("_", " "),
}


def write_page(path: Path, template: str, **shown: Any) -> None:
    """Fill a template of this package and write it; figures that are ``None`` appear as a dash.

    Raises:
        WorkError: the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("understudy.report", "."), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= _FILTERS
    page = environment.get_template(template).render(**shown)
    with writing(path):
        path.write_text(page, encoding="utf-8", errors="replace")
