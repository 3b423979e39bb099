"""Sensitivity: how much worse the network gets when one group alone is pruned.

The two that are nothing but the defaults of those that ablate are here: iso_damage, accuracy_drop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from prune_ops.collectors.collector import Loss
from prune_ops.criterion import Calibrated, CalibrationStats
from spaces import Budget, Policy, Space
from spaces.groups import ChannelGroup

AT_MOST = 8
"""Measured widths per group, the whole one included."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network's mean loss and metric on images: cross-entropy and accuracy (0..1) mostly."""

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


class Sensitivity(Calibrated, ABC):
    """Knows what each width of a group costs, and sets widths from that.

    ``name`` is its key in ``SENSITIVITIES``.

    Attributes:
        unit: of its damages: ``loss`` (cross-entropy), ``accuracy`` (0..1), or ``divergence`` of
            the outputs.
    """

    kind = "sensitivity"
    unit: Literal["loss", "accuracy", "divergence"]

    @abstractmethod
    def widths(self, group: ChannelGroup) -> tuple[int, ...]:
        """Those whose damage is known, ascending, without the whole group's."""

    @abstractmethod
    def policy(self, space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
        """The widths that meet the budget, from damages as `prune_ops.measure` gives them."""


class Ablating(Sensitivity):
    """Prunes one group at a time and evaluates the network, untrained.

    By default it makes a table, group × width: by how much this one change raises the cost, made
    monotone. The lowest-ranked channels are removed; the unpruned network's BatchNorm statistics
    stay. In a group with more than eight widths on the lattice eight are measured and the rest
    interpolated linearly. Once measured, the table serves every budget: at one common damage every
    group takes its smallest width that does at most that, and bisection finds the least damage that
    meets the budget. Interactions are not seen.
    """

    def ablations(self, group: ChannelGroup, ranking: np.ndarray, seed: int) -> Plan:  # noqa: ARG002
        """Those to evaluate, for each of ``widths``; ``ranking`` is the channels, best first."""
        return [[ablation(group, ranking, width)] for width in self.widths(group)]

    def cost(self, evaluation: Evaluation) -> float:
        """Of a network, in ``unit``; the damage of an ablation is how much it raises the cost."""
        return evaluation.loss if self.unit == "loss" else -evaluation.accuracy

    def widths(self, group: ChannelGroup) -> tuple[int, ...]:
        return measured_widths(group)

    def policy(self, space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
        tables = [on_lattice(group, damages[group.name]) for group in space.groups]

        def chosen(level: float) -> list[int]:
            return [int((table <= level).argmax()) for table in tables]

        return first_within(space, np.unique(np.concatenate(tables)), chosen, budget)


class ClosedForm(Sensitivity):
    """Knows the damages from the unpruned network alone."""

    @abstractmethod
    def damages(
        self,
        space: Space,
        rankings: Mapping[str, np.ndarray],
        stats: CalibrationStats,
        loss: Loss,
    ) -> dict[str, np.ndarray]:
        """Group name → ``(widths,)`` float64.

        Args:
            rankings: group name → its channels, best first.
            stats: with all that it ``requires``.
        """


class IsoDamage(Ablating):
    """Rise of the loss when one group alone is cut to a width.

    The table of the rise of the loss; the sum over groups is the proxy of this name.
    """

    name = "iso_damage"
    unit = "loss"


class AccuracyDrop(Ablating):
    """Accuracy lost when one group alone is cut to a width.

    The same table of the drop in accuracy; both evaluate the same networks.

    The paper ranks channels by l1, and reads from the curves, by eye, which layers are sensitive
    and should keep more. On images that the network was trained on, accuracy often does not fall at
    all for the first channels; the groups that tolerate that are then pruned alike.

    Definition: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, section 3.2.
    """

    name = "accuracy_drop"
    unit = "accuracy"


def measured_widths(group: ChannelGroup) -> tuple[int, ...]:
    """The group's choices without the whole group; of more than `AT_MOST` an even subset."""
    last = len(group.choices) - 1
    indices = np.linspace(0, last, min(AT_MOST, last + 1)).round().astype(int)
    return tuple(group.choices[index] for index in indices[:-1])


def on_lattice(group: ChannelGroup, damages: Tensor) -> np.ndarray:
    """The damage at each of the group's choices, interpolated linearly from `measured_widths`.

    A width does at least the damage of any wider one, and the whole group does none.
    """
    measured = np.append(damages.double().numpy(), 0.0)
    monotone = np.maximum.accumulate(measured[::-1])[::-1]
    return np.interp(group.choices, (*measured_widths(group), group.channels), monotone)


def first_within(
    space: Space, levels: np.ndarray, chosen: Callable[[float], Sequence[int]], budget: Budget
) -> Policy:
    """The policy of the first level that meets the budget, widened by what still fits.

    Args:
        levels: ascending; the higher, the narrower. The last one must meet the budget.
        chosen: at a level, the index of each group's width among its choices.
    """

    def widths(level: float) -> np.ndarray:
        pairs = zip(space.groups, chosen(level), strict=True)
        return np.array([group.choices[index] for group, index in pairs])

    def fits(level: float) -> bool:
        return bool(space.meets(widths(level), budget))

    first = bisect_left(levels, True, hi=len(levels) - 1, key=fits)
    return space.policy(space.project(widths(levels[first]), budget))
