"""Sensitivities: each measures how sensitive the groups are, and sets their widths from that.

A criterion ranks the channels of a group; a sensitivity sets the widths. Most prune one group at a
time and evaluate the network on images, without training. CONTRIBUTING.md says how to add one.
"""

from __future__ import annotations

from prune_ops.sensitivities.layer_damage import LayerDamage
from prune_ops.sensitivities.repaired_damage import RepairedDamage
from prune_ops.sensitivities.sensitivity import AccuracyDrop, IsoDamage, Sensitivity

SENSITIVITIES: dict[str, Sensitivity] = {
    sensitivity.name: sensitivity
    for sensitivity in (LayerDamage(), AccuracyDrop(), IsoDamage(), RepairedDamage())
}
"""Every sensitivity by name."""
