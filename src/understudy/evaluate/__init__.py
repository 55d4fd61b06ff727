"""Evaluate a model on a folder of test pictures: every metric, for each category and over all."""

from understudy.evaluate.figures import NAMES, Tested
from understudy.evaluate.job import Evaluation, MapResolution, evaluate
from understudy.evaluate.marks import read_masks

__all__ = ["NAMES", "Evaluation", "MapResolution", "Tested", "evaluate", "read_masks"]
