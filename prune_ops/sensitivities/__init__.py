"""Sensitivities: each measures how sensitive the groups are, and sets their widths from that.

A criterion ranks the channels of a group; a sensitivity sets the widths. It prunes one group at a
time and evaluates the network on images, without training.

To add one, write one file here with a :class:`Sensitivity`, and add one line to ``SENSITIVITIES``;
the contract test in ``tests/contracts`` covers it from there.
"""

from __future__ import annotations

from prune_ops.sensitivities.accuracy_drop import AccuracyDrop
from prune_ops.sensitivities.iso_damage import IsoDamage
from prune_ops.sensitivities.layer_damage import LayerDamage
from prune_ops.sensitivities.sensitivity import Ablation, Evaluation, Sensitivity

__all__ = ["SENSITIVITIES", "Ablation", "Evaluation", "Sensitivity"]

_ALL: tuple[Sensitivity, ...] = (LayerDamage(), AccuracyDrop(), IsoDamage())

SENSITIVITIES: dict[str, Sensitivity] = {sensitivity.name: sensitivity for sensitivity in _ALL}
"""Every sensitivity by name."""
