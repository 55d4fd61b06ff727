"""The papers' tables, run anew and set beside what the papers report."""

from understudy.reproduction.job import Reproduction, reproduce
from understudy.reproduction.tables import TABLES

__all__ = ["TABLES", "Reproduction", "reproduce"]
