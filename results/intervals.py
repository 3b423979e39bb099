"""95 % intervals by closed formulas, for a mean of few values and for a share.

>>> wilson(2, 3)
(0.2076..., 0.9385...)
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95

Array = NDArray[Any]


def half_width(values: Sequence[float], confidence: float = CONFIDENCE) -> float | None:
    """Of the Student-t interval of the mean: t(0.975, n - 1) · s / √n at 95 % confidence.

    ``None`` where no interval can be given: for fewer than two values, and for values that are all
    the same, which says that they are coarse and not that the mean is certain.
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    deviation = statistics.stdev(values)
    if deviation < 1e-9:
        return None
    from scipy.special import stdtrit  # slow to import, and workers compare nothing

    quantile = float(stdtrit(len(values) - 1, (1 + confidence) / 2))
    return quantile * deviation / math.sqrt(len(values))


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of the share ``hits / n`` (JASA 1927); (0, 1) when ``n`` is 0.

    The shares p that a test would not refuse: those with |hits / n - p| ≤ z √(p (1 - p) / n).
    """
    if n == 0:
        return 0.0, 1.0
    low, high = wilsons(np.array(hits), np.array(n), CONFIDENCE)
    return float(low), float(high)


def wilsons(hits: Array, n: Array, confidence: float | Array) -> tuple[Array, Array]:
    """The same of many shares, with n above 0; hits may be means over seeds, say."""
    from scipy.special import ndtri

    z = ndtri((1 + np.asarray(confidence)) / 2)
    centre = (hits + z**2 / 2) / (n + z**2)
    reach = z / (n + z**2) * np.sqrt(hits * (n - hits) / n + z**2 / 4)
    # At the ends the formula gives 0 and 1 but for rounding.
    return np.where(hits > 0, centre - reach, 0.0), np.where(hits < n, centre + reach, 1.0)


def at_chance(accuracy: float, images: Sequence[int]) -> bool:
    """Whether an accuracy is within two standard errors of what naming the most frequent class for
    every image gives, or below.

    Args:
        images: how many there are of each class.
    """
    often = max(images) / sum(images)
    return accuracy <= often + 2 * math.sqrt(often * (1 - often) / sum(images))
