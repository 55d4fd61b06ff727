"""Cross-class interference: does one model for many categories take a mixture of two for a good picture?"""

from understudy.lab.diagnose.job import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
