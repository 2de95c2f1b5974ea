"""Intervals as text, and whether a published number is reproduced."""

import numpy as np

from ecglib.stats import metrics
from ecglib.stats.metrics import Interval, OverSeeds


def reproduction_verdict(published: float, interval: OverSeeds) -> str:
    """Whether a further training of ours could give the published number, which comes from one training."""
    if interval.seeds < metrics.MIN_SEEDS:
        return metrics.FEW
    # From the interval of the mean to that of a single value.
    reach = (interval.high - interval.value) * np.sqrt(interval.seeds + 1)
    if abs(published - interval.value) <= reach:
        return "reproduced: a further training could give it"
    return "higher than reported" if interval.value > published else "lower than reported"


def bounds(interval: Interval, digits: int = 4, signed: bool = False) -> str:
    """`[0.8950, 0.9074]` of a quantity in [0, 1], or of a difference `[-0.0010, +0.0050]`."""
    low, high = interval.low, interval.high
    if not np.isfinite(low + high):
        return f"needs {metrics.MIN_SEEDS} seeds"
    if signed:
        return f"[{low:+.{digits}f}, {high:+.{digits}f}]"
    # Student's t interval may leave [0, 1], where an AUC lies.
    return f"[{max(low, 0):.{digits}f}, {min(high, 1):.{digits}f}]"


def shown(interval: Interval, digits: int = 4, signed: bool = False) -> str:
    """`0.9012 [0.8950, 0.9074]`; fewer than three seeds have no interval."""
    value = f"{interval.value:{'+' if signed else ''}.{digits}f}"
    if not np.isfinite(interval.low + interval.high):
        return f"{value} (fewer than {metrics.MIN_SEEDS} seeds)"
    return f"{value} {bounds(interval, digits, signed)}"
