"""Criterion: scores each channel of each group; higher = keep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prune_ops.calibration_stats import CalibrationStats, detached
from prune_ops.channels import weights
from prune_ops.scores import Scores
from spaces import Space
from spaces.groups import ChannelGroup

Groups = Sequence[ChannelGroup]


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
    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        """Group name → ``(channels,)``, finite, on any device; higher = keep."""

    def lacks(self, model: nn.Module, space: Space) -> str:  # noqa: ARG002
        """What it needs and this network lacks, as "a BatchNorm, but there is none"; else ""."""
        return ""

    def fewest_images(self, space: Space) -> int:  # noqa: ARG002
        """The least number of calibration images."""
        return 1 if self.requires else 0


class StatCriterion(Criterion):
    """Scores each group from its own entry of the one field it requires; nan if not finite."""

    @abstractmethod
    def group_scores(self, stat: Tensor) -> Tensor:
        """``(channels,)`` from the group's entry of that field."""

    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        (field,) = self.requires
        values = {g.name: getattr(stats, field)[g.name] for g in groups}
        return {
            name: self.group_scores(stat) if stat.isfinite().all() else stat.sum(0) * torch.nan
            for name, stat in values.items()
        }


def lacking(what: str, preposition: str, groups: Sequence[str], most: int = 6) -> str:
    """``what``, and the first few groups that lack it; empty if none does."""
    more = f" and {len(groups) - most} more" if len(groups) > most else ""
    none = f"but there is none {preposition} {', '.join(groups[:most])}{more}"
    return f"{what}, {none}" if groups else ""


def lacking_activation(
    space: Space, what: str = "an activation function", rectifies: bool = False
) -> str:
    """What is lacking if a group passes no activation (that rectifies); else empty."""
    relevant = [a for a in space.activations if a.rectifies or not rectifies]
    passing = {name for activation in relevant for name in activation.channels}
    missing = [g.name for g in space.groups if g.name not in passing]
    return lacking(f"{what} that every group passes", "for", missing)


def lacking_reader(model: nn.Module, space: Space) -> str:
    """What is lacking if no layer reads some group; empty if every group is read."""
    parameters = detached(model)
    missing = [g.name for g in space.groups if not weights(g, parameters, {"in"})]
    return lacking("a convolution or linear layer that reads every group", "for", missing)
