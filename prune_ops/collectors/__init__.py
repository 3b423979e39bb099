"""Collectors: each fills one field of the evidence from the calibration images.

There is one table a pass. All collectors of a pass share it, so that a second criterion costs next
to nothing; a pass that nobody asked for is not made.
"""

from __future__ import annotations

from collections.abc import Mapping

from prune_ops.collectors.collector import Collector
from prune_ops.collectors.curvature import Curvature
from prune_ops.collectors.forward import Contributions, Ranks, Zeros
from prune_ops.collectors.gradient import Attributions, Fisher, Saliencies
from prune_ops.collectors.subject import Loss, Subject

__all__ = ["CURVATURE", "FORWARD", "GRADIENT", "Collector", "Loss", "Subject"]

FORWARD: Mapping[str, type[Collector]] = {
    "contributions": Contributions,
    "ranks": Ranks,
    "zeros": Zeros,
}
"""Field of the evidence → what fills it while batches go forward."""

GRADIENT: Mapping[str, type[Collector]] = {
    "attributions": Attributions,
    "fisher": Fisher,
    "saliencies": Saliencies,
}
"""The same, while images go forward and backward one by one."""

CURVATURE: Mapping[str, type[Collector]] = {
    "curvature": Curvature,
}
"""The same, with gradients that can be differentiated once more."""
