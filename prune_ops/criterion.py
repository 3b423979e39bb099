"""Criterion: scores each channel of each group; higher = keep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from prune_ops.calibration_stats import CalibrationStats, detached
from prune_ops.channels import weights
from prune_ops.scores import Scores
from spaces import Space
from spaces.groups import ChannelGroup


class Criterion(ABC):
    """Scores channels.

    Attributes:
        name: its key in ``CRITERIA``, on the command line and in every table.
        comparable: whether the scores are in one unit across groups, so that a global ranking may
            use them as they are; if not, it ranks :func:`prune_ops.normalised` ones.
        requires: the fields of :class:`CalibrationStats` that calibration must collect.
    """

    name: str
    comparable: bool = False
    requires: frozenset[str] = frozenset()

    @abstractmethod
    def __call__(self, groups: Sequence[ChannelGroup], stats: CalibrationStats) -> Scores:
        """Group name → ``(channels,)``, finite, on any device; higher = keep."""

    def lacks(self, model: nn.Module, space: Space) -> str:  # noqa: ARG002
        """What it needs and this network lacks, as "a BatchNorm, but there is none"; else ""."""
        return ""

    def fewest_images(self, space: Space) -> int:  # noqa: ARG002
        """The least number of calibration images."""
        return 1 if self.requires else 0


class StatCriterion(Criterion):
    """Scores each group from its own entry of the one field that it requires."""

    @abstractmethod
    def group_scores(self, stat: Tensor) -> Tensor:
        """``(channels,)`` from the group's entry of that field."""

    def __call__(self, groups: Sequence[ChannelGroup], stats: CalibrationStats) -> Scores:
        (field,) = self.requires
        return {g.name: self.group_scores(getattr(stats, field)[g.name]) for g in groups}


def listed(names: Sequence[str], most: int = 6) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def lacking_activation(
    space: Space, what: str = "an activation function", rectifies: bool = False
) -> str:
    """What is lacking if some group passes no activation (that rectifies); empty if none does."""
    relevant = [a for a in space.activations if a.rectifies or not rectifies]
    passing = {name for activation in relevant for name in activation.channels}
    missing = [g.name for g in space.groups if g.name not in passing]
    if not missing:
        return ""
    return f"{what} that every group passes, but there is none for {listed(missing)}"


def lacking_reader(model: nn.Module, space: Space) -> str:
    """What is lacking if no layer reads some group; empty if every group is read."""
    parameters = detached(model)
    missing = [g.name for g in space.groups if not weights(g, parameters, {"in"})]
    if not missing:
        return ""
    what = "a convolution or linear layer that reads every group"
    return f"{what}, but there is none for {listed(missing)}"
