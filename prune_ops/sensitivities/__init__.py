"""Sensitivities: each measures how sensitive the groups are, and sets their widths from that.

A criterion ranks the channels of a group; a sensitivity sets the widths. It prunes one group at a
time and evaluates the network on images, without training.

To add one, write one file here with a :class:`Sensitivity`, and add one line to ``SENSITIVITIES``;
the contract test in ``tests/contracts`` covers it from there.
"""

from __future__ import annotations

from prune_ops.sensitivities.equal_damage import AccuracyDrop, IsoDamage
from prune_ops.sensitivities.layer_damage import LayerDamage
from prune_ops.sensitivities.sensitivity import Ablation, Evaluation, Sensitivity

__all__ = ["SENSITIVITIES", "Ablation", "Evaluation", "Sensitivity"]

SENSITIVITIES: dict[str, Sensitivity] = {
    sensitivity.name: sensitivity for sensitivity in (LayerDamage(), AccuracyDrop(), IsoDamage())
}
"""Every sensitivity by name."""
