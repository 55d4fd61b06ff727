"""The command line ``understudy VERB``: one module per verb; torch is imported if a verb needs it."""

from understudy.cli.app import main

__all__ = ["main"]
