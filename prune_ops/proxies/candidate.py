"""PrunedCandidate: a policy, and everything that a proxy may judge it by; Proxy: scores it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prune_ops.batches import Pair
from prune_ops.collectors.collector import Loss, Metric
from prune_ops.proxies.passes import BATCHES, Passes, passes, usable
from prune_ops.running import accuracy
from prune_ops.scores import Scores
from prune_ops.surgery.pruning import Pruner
from prune_ops.weights import layer_weights
from spaces import Space
from spaces.errors import UserError
from spaces.inputs import items
from spaces.policy import Policy


@dataclass(frozen=True)
class PrunedCandidate:
    """One policy, already cut, before any training.

    Attributes:
        scores: of every channel of the unpruned network, by the criterion that selects the kept.
        pruned: the network that surgery made; no proxy changes it.
        calibration: batches ``(inputs, targets)`` of training data, on the network's device.
        held_out: batches of other training data, for a score that calibration must not have seen.
        damages: of every group of the unpruned network, measured by sensitivity ``iso_damage``;
            empty if not measured.
        model: the unpruned network, for a proxy that prunes it itself; None if there is none.
        reconstruct: cuts that network as `prune_ops.reconstructor` prepares it, once for many
            candidates; None: it is prepared from ``model`` and ``calibration`` where needed.
        judge: scores by which candidates of several criteria can be compared; None for ``scores``.
        loss: ``loss(outputs, targets)`` → one number, a mean over the batch, for proxies that look
            at its gradients.
        metric: ``metric(model, batches)`` → what the network is judged by, higher for a better one.
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
    reconstruct: Pruner | None = None
    loss: Loss = cross_entropy
    metric: Metric = accuracy

    @cached_property
    def passes(self) -> Passes:
        """Gradients of the network, computed once for all gradient proxies."""
        batches = list(islice(usable(self.calibration), BATCHES))
        return passes(self.pruned, batches, self.loss)


class Proxy(ABC):
    """Scores a policy.

    Attributes:
        name: its key in ``PROXIES``, and ``proxy:<name>`` in the trials table.
        batches: the least number of calibration batches of two images or more; if any, the network
            must also have a convolution or linear layer. 0 for a proxy that needs neither, or that
            checks its needs itself.
    """

    name: str
    batches: int = 0

    def __call__(self, candidate: PrunedCandidate) -> float:
        """Higher for a better policy, ``nan`` if undefined; UserError if its needs are not met."""
        if self.batches:
            self.check(candidate.pruned, [items(inputs) for inputs, _ in candidate.calibration])
        return self.score(candidate)

    @abstractmethod
    def score(self, candidate: PrunedCandidate) -> float:
        """What ``__call__`` gives, once the needs are met."""

    def check(self, model: nn.Module, sizes: Sequence[int]) -> None:
        """Refuse a network and calibration batches of these sizes that do not meet the needs."""
        count = sum(size > 1 for size in sizes)
        if count < self.batches:
            raise UserError(
                f"proxy {self.name!r} needs calibration batches of 2 images or more, at least "
                f"{self.batches}, but got {count}; give more training data, or use predicted_damage"
            )
        if self.batches and not layer_weights(model):
            raise UserError(
                f"proxy {self.name!r} needs the weight of a convolution or linear layer, but the "
                "network has none; use adaptive_bn or predicted_damage"
            )
