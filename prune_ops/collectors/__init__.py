"""Collectors: each fills one field of :class:`CalibrationStats` from the calibration images.

There is one table per pass. All collectors of a pass share it; unneeded passes are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping

from prune_ops.collectors.collector import Collector
from prune_ops.collectors.contributions import Contributions
from prune_ops.collectors.gradients import Attributions, Curvature, Fisher
from prune_ops.collectors.maps import Ranks, Saliencies, Zeros
from prune_ops.collectors.readers import Inputs, OutputFisher

Table = Mapping[str, type[Collector]]

FORWARD: Table = {
    "contributions": Contributions,
    "inputs": Inputs,
    "ranks": Ranks,
    "zeros": Zeros,
}
"""Field of the statistics → its collector in the batched forward pass, without gradients."""

GRADIENT: Table = {
    "attributions": Attributions,
    "fisher": Fisher,
    "saliencies": Saliencies,
}
"""The same for the pass of single images forward and backward."""

CURVATURE: Table = {"curvature": Curvature}
"""The same for the pass whose gradients can be differentiated once more."""

OUTPUTS: Table = {"output_fisher": OutputFisher, "probed_fisher": Fisher}
"""The same for the pass of single images with gradients of random directions of the outputs."""
