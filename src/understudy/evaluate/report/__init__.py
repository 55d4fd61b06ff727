"""Evaluation -> report.html: one file that needs no network, for the people who decide."""

from understudy.evaluate.report.page import write_report

__all__ = ["write_report"]
