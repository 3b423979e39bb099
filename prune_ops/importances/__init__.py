"""Importances: each measures what the groups bear, and says from that how wide each should be.

A criterion ranks the channels of a group; an importance sets the widths. It cuts one group at a
time and judges the network on images, without training.

To add one, write one file here with a class that satisfies :class:`Importance`, and add one line to
``IMPORTANCES``; the contract test in ``tests/contracts`` takes it from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from prune_ops.importances.accuracy_drop import AccuracyDrop
from prune_ops.importances.cuts import Cut, Judged
from prune_ops.importances.iso_damage import IsoDamage
from prune_ops.importances.layer_damage import LayerDamage
from spaces import Budget, Policy, Space
from spaces.groups import ChannelGroup

__all__ = ["IMPORTANCES", "Cut", "Importance", "Judged"]


class Importance(Protocol):
    """Measures groups and sets widths.

    Attributes:
        name: its key in ``IMPORTANCES``, on the command line and in every table.
        unit: what its damages are in: ``loss`` (cross-entropy) or ``accuracy`` (0..1).
    """

    name: str
    unit: str

    def cuts(self, group: ChannelGroup, ranking: np.ndarray, seed: int) -> Sequence[Sequence[Cut]]:
        """What is to be judged: for each width, ascending, one cut or several random ones.

        Args:
            ranking: the group's channels, the best first.
            seed: of what is drawn.
        """
        ...

    def harm(self, judged: Judged) -> float:
        """Of a network, in ``unit``; the damage of a cut is by how much it raises that."""
        ...

    def widths(self, group: ChannelGroup) -> tuple[int, ...]:
        """The widths that ``cuts`` judges, ascending, the whole group left out."""
        ...

    def policy(self, space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
        """The widths that meet the budget.

        Args:
            damages: group name → ``(widths,)``, as `prune_ops.measure` gives them.
        """
        ...


_ALL: tuple[Importance, ...] = (LayerDamage(), AccuracyDrop(), IsoDamage())

IMPORTANCES: dict[str, Importance] = {importance.name: importance for importance in _ALL}
"""Every importance by its name."""
