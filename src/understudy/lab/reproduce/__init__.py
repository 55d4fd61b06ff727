"""Run the tables of the papers again, and show our figures beside the reported ones."""

from understudy.lab.reproduce.job import Reproduction, reproduce
from understudy.lab.reproduce.tables import TABLES

__all__ = ["TABLES", "Reproduction", "reproduce"]
