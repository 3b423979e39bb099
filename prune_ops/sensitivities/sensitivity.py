"""Sensitivity: measures how much worse the network gets when one group alone is pruned."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from prune_ops.sensitivities.levels import at_one_level, measured_widths
from spaces import Budget, Policy, Space
from spaces.groups import ChannelGroup


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network's mean cross-entropy and accuracy (0..1) on images."""

    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Ablation:
    """One group pruned alone: its name, and the ascending channels that are kept."""

    group: str
    kept: tuple[int, ...]


Plan = Sequence[Sequence[Ablation]]
"""For each width one ablation, or several random ones."""


def ablation(group: ChannelGroup, order: np.ndarray, width: int) -> Ablation:
    """The group with the first ``width`` channels of an order."""
    return Ablation(group.name, tuple(sorted(order[:width].tolist())))


class Sensitivity(ABC):
    """Measures groups and sets widths.

    By default it prunes the lowest-ranked channels, at most eight widths per group, and prunes
    every group as far as one common damage allows.

    Attributes:
        name: its key in ``SENSITIVITIES``, on the command line and in every table.
        unit: of its damages: ``loss`` (cross-entropy) or ``accuracy`` (0..1).
    """

    name: str
    unit: Literal["loss", "accuracy"]

    def ablations(self, group: ChannelGroup, ranking: np.ndarray, seed: int) -> Plan:  # noqa: ARG002
        """Those to evaluate, for each of ``widths``; ``ranking`` is the channels, best first."""
        return [[ablation(group, ranking, width)] for width in self.widths(group)]

    def cost(self, evaluation: Evaluation) -> float:
        """Of a network, in ``unit``; the damage of an ablation is how much it raises the cost."""
        return evaluation.loss if self.unit == "loss" else -evaluation.accuracy

    def widths(self, group: ChannelGroup) -> tuple[int, ...]:
        """The widths of the ablations, ascending, without the whole group's."""
        return measured_widths(group)

    def policy(self, space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
        """The widths that meet the budget, from damages as `prune_ops.measure` gives them."""
        return at_one_level(space, damages, budget)
