"""Candidate: a policy, and everything that a proxy may judge it by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from torch import Tensor, nn

from prune_ops.batches import Pair
from prune_ops.proxies.passes import BATCHES, Needs, Passes, passes, require, usable
from prune_ops.scores import Scores
from spaces import Space
from spaces.inputs import items
from spaces.policy import Policy


@dataclass(frozen=True)
class Candidate:
    """One policy, already cut, before any training.

    Attributes:
        policy: the widths to judge.
        space: its groups.
        scores: of every channel of the unpruned network, by the criterion that selects the kept.
        pruned: the network that surgery made; a proxy leaves it unchanged.
        calibration: batches ``(inputs, targets)`` of training data, on the network's device.
        held_out: batches of other training data, for a score that calibration must not have seen.
        damages: of every group of the unpruned network, measured by sensitivity ``iso_damage``;
            empty if not measured.
        model: the unpruned network, for a proxy that prunes it itself; None if there is none.
        judge: scores by which candidates of several criteria can be compared; None for ``scores``.
    """

    policy: Policy
    space: Space
    scores: Scores
    pruned: nn.Module
    calibration: Sequence[Pair]
    held_out: Sequence[Pair]
    damages: Mapping[str, Tensor] = field(default_factory=dict)
    judge: Scores | None = None
    model: nn.Module | None = None

    def require(self, proxy: Needs) -> None:
        """Refuse a proxy whose needs are not met.

        Raises:
            UserError: too few calibration batches; no convolution and no linear layer.
        """
        require(proxy, self.pruned, [items(inputs) for inputs, _ in self.calibration])

    def passes_for(self, proxy: Needs) -> Passes:
        """Gradients of the network, computed once for all gradient proxies.

        Raises:
            UserError: as ``require``.
        """
        self.require(proxy)
        return self._passes

    @cached_property
    def _passes(self) -> Passes:
        return passes(self.pruned, list(islice(usable(self.calibration), BATCHES)))
