"""Sensitivities: each measures how sensitive the groups are, and sets their widths from that.

A criterion ranks the channels of a group; a sensitivity sets the widths. Most prune one group at a
time and evaluate the network on images, without training. CONTRIBUTING.md says how to add one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spaces.table import Table

if TYPE_CHECKING:
    from prune_ops.sensitivities.sensitivity import Sensitivity

SENSITIVITIES: Table[Sensitivity] = Table(
    "prune_ops.sensitivities",
    {
        "layer_damage": "layer_damage:LayerDamage",
        "accuracy_drop": "sensitivity:AccuracyDrop",
        "iso_damage": "sensitivity:IsoDamage",
        "repaired_damage": "repaired_damage:RepairedDamage",
    },
)
"""Every sensitivity by name."""
