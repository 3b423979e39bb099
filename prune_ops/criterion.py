"""Criterion: scores each channel of each group, higher = keep; CalibrationStats: what from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from prune_ops.batches import Batch
from prune_ops.channels import detached
from prune_ops.moments import InputMoments
from prune_ops.scores import Scores
from spaces import Space
from spaces.groups import ChannelGroup

Groups = Sequence[ChannelGroup]


@dataclass(frozen=True)
class CalibrationStats:
    """The unpruned network, read-only, and the statistics that the calibration passes collected.

    Attributes:
        seed: for criteria that draw.
        batches: the calibration images, kept where ``output_fisher`` is collected.
        attributions: group name → ``(minibatches, channels)``: Σ g·w over the weights that make the
            channel (``channels.PRODUCERS``), g the gradient of the minibatch's loss.
        fisher: parameter name → the parameter's shape: the mean over samples of the squared
            gradient of that sample's own loss (the diagonal of the empirical Fisher matrix).
        contributions: group name → ``(channels, channels)`` float64: Σ_n x_n x_nᵀ, x_{n,c} what
            channel c adds to the sampled output n of a layer that reads it, bias left out. The
            samples are over all convolutions and linear layers that read the group.
        zeros: group name → ``(uses, channels)`` float64: the share of zeros, over images and
            positions, in the output of every rectifier (ReLU, ReLU6) that the group passes.
        ranks: group name → ``(uses, channels)`` float64: the feature map's rank, mean over images,
            at every activation function that the group passes.
        saliencies: group name → ``(uses, channels)`` float64: the mean over images of
            |mean over positions of z·∂L/∂z|, z the output of every activation function that the
            group passes and L the image's own loss.
        curvature: parameter name → the parameter's shape: an unbiased estimate of h_ii w_i² by
            random probes, h_ii the diagonal of the Hessian of the mean loss. Where there is little
            curvature it may be negative.
        inputs: parameter name → what the convolution or linear layer of that weight reads, of those
            that read a group.
        output_fisher: parameter name → ``(2, outputs)`` float64, of the same layers, g the gradient
            of a random direction of the network's outputs (`prune_ops.probing`) by that output at a
            position: the mean over images of Σ (g − ḡ)² over positions, and of (Σ g)².
        probed_fisher: as ``fisher``, for random directions of the outputs.

    Statistics are empty unless a criterion's ``requires`` names them.
    """

    model: nn.Module
    seed: int = 0
    batches: Sequence[Batch] = ()
    attributions: Mapping[str, Tensor] = field(default_factory=dict)
    fisher: Mapping[str, Tensor] = field(default_factory=dict)
    contributions: Mapping[str, Tensor] = field(default_factory=dict)
    zeros: Mapping[str, Tensor] = field(default_factory=dict)
    ranks: Mapping[str, Tensor] = field(default_factory=dict)
    saliencies: Mapping[str, Tensor] = field(default_factory=dict)
    curvature: Mapping[str, Tensor] = field(default_factory=dict)
    inputs: Mapping[str, InputMoments] = field(default_factory=dict)
    output_fisher: Mapping[str, Tensor] = field(default_factory=dict)
    probed_fisher: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """As ``channels.detached`` gives them."""
        return detached(self.model)


class Calibrated:
    """What judges a network by statistics of calibration images: a criterion or a sensitivity.

    Attributes:
        kind: what it is called in messages.
        name: on the command line and in every table.
        requires: the fields of :class:`CalibrationStats` that calibration must collect.
    """

    kind: str
    name: str
    requires: frozenset[str] = frozenset()

    def lacks(self, model: nn.Module, space: Space) -> str:  # noqa: ARG002
        """What it needs and this network lacks, as "a BatchNorm, but there is none"; else ""."""
        return ""

    def fewest_images(self, space: Space) -> int:  # noqa: ARG002
        """The least number of calibration images."""
        return 1 if self.requires else 0


class Criterion(Calibrated, ABC):
    """Scores channels; ``name`` is its key in ``CRITERIA``.

    Attributes:
        comparable: whether the scores are in one unit across groups, so that a global ranking may
            use them as they are; if not, it ranks :func:`prune_ops.normalised` ones.
    """

    kind = "criterion"
    comparable: bool = False

    @abstractmethod
    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        """Group name → ``(channels,)``, finite, on any device; higher = keep."""


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
