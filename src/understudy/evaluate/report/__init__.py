"""Evaluation -> report.html: one file, no network, for people who decide."""

from understudy.evaluate.report.page import write_report

__all__ = ["write_report"]
