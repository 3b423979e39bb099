"""Collectors: each fills one field of :class:`CalibrationStats` from the calibration images.

There is one table per pass. All collectors of a pass share it, so that a second criterion costs
little; a pass that no criterion requires is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping

from prune_ops.collectors.collector import Collector, Loss, NoCurvature, NoGradients, Subject
from prune_ops.collectors.curvature import Curvature
from prune_ops.collectors.forward import Contributions, Ranks, Zeros
from prune_ops.collectors.gradient import Attributions, Fisher, Saliencies

__all__ = [
    "CURVATURE",
    "FORWARD",
    "GRADIENT",
    "Collector",
    "Loss",
    "NoCurvature",
    "NoGradients",
    "Subject",
]

FORWARD: Mapping[str, type[Collector]] = {
    "contributions": Contributions,
    "ranks": Ranks,
    "zeros": Zeros,
}
"""Field of the statistics → its collector in the batched forward pass, without gradients."""

GRADIENT: Mapping[str, type[Collector]] = {
    "attributions": Attributions,
    "fisher": Fisher,
    "saliencies": Saliencies,
}
"""The same for the pass of single images forward and backward."""

CURVATURE: Mapping[str, type[Collector]] = {"curvature": Curvature}
"""The same for the pass whose gradients can be differentiated once more."""
