"""The papers' tables, run anew and set beside what the papers report."""

from understudy.lab.reproduce.job import Reproduction, reproduce
from understudy.lab.reproduce.tables import TABLES

__all__ = ["TABLES", "Reproduction", "reproduce"]
