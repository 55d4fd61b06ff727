"""How sure an AUROC is, given how few pictures it was measured on."""

from __future__ import annotations

from statistics import NormalDist

from scipy.optimize import brentq

__all__ = ["auroc_interval"]

_NEAR = 1e-12  # 0 and 1 themselves are roots too, but not the ends that are sought


def auroc_interval(auroc: float, n_good: int, n_defect: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of an AUROC: Newcombe's method 5.

    It holds those values that the measured one does not contradict, given Hanley and McNeil's standard
    error at that value with the mean of both sample sizes in its numerator: a score interval, so it stays
    in [0, 1] and does not shrink to nothing where all defects outrank all good pictures (Newcombe,
    "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
    Statistics in Medicine 25, 2006).

    Args:
        auroc: in [0, 1].
        n_good: good pictures, at least one.
        n_defect: defective ones, at least one.
        confidence: in (0, 1).

    Returns:
        Lower and upper end.

    Raises:
        ValueError: a number is out of range.
    """
    if not 0 <= auroc <= 1 or min(n_good, n_defect) < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"no interval of AUROC {auroc} from {n_good} good and {n_defect} defects at {confidence}"
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    extra = (n_good + n_defect) / 2 - 1

    def beyond(value: float) -> float:
        """How far the measured AUROC is from ``value``, in squares, beyond what chance explains."""
        spread = value * (1 - value) * (1 + extra * ((1 - value) / (2 - value) + value / (1 + value)))
        return (auroc - value) ** 2 - z**2 * spread / (n_good * n_defect)

    low = 0.0 if auroc == 0 else float(brentq(beyond, 0, min(auroc, 1 - _NEAR)))
    high = 1.0 if auroc == 1 else float(brentq(beyond, max(auroc, _NEAR), 1))
    return low, high
