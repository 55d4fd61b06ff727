"""The command line: ``understudy VERB``. One module a verb; torch is imported when a verb needs it."""

from understudy.cli.app import main

__all__ = ["main"]
