"""Collector: fills one field of the calibration statistics; Subject: the model it observes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.channels import detached
from spaces import Space, copied

Loss = Callable[[Any, Any], Tensor]
"""``loss(outputs, targets)`` → scalar, a mean over the batch; outputs as the network gives them."""

Metric = Callable[[nn.Module, Iterable[Any]], float]
"""``metric(model, batches)`` → what networks are judged by, higher for a better one."""


class NoGradients(Exception):
    """The loss has no gradient by the prunable weights; ``str(error)`` says why."""


class NoCurvature(NoGradients):
    """The gradients cannot be differentiated once more."""


class Subject:
    """A copy of the model to differentiate: eval mode, only the groups' weights require gradients.

    Attributes:
        weights: every parameter by name, without gradient.
        leaves: the groups' parameters by name, which gradients are taken by.
    """

    def __init__(self, model: nn.Module, space: Space, seed: int = 0) -> None:
        self.model = copied(model).eval().requires_grad_(False)
        self.space = space
        self.seed = seed
        prunable = {member.parameter for group in space.groups for member in group.members}
        named = dict(self.model.named_parameters(remove_duplicate=False))
        self.leaves = {n: p for n, p in named.items() if n in prunable and p.is_floating_point()}
        for leaf in self.leaves.values():
            leaf.requires_grad_(True)
        self.weights = detached(self.model)

    def gradients(
        self, loss: Tensor, create_graph: bool = False, retain_graph: bool = False
    ) -> dict[str, Tensor]:
        """Parameter name → gradient of the loss, zero where it does not depend on it.

        Raises NoGradients if it depends on no leaf, or cannot be differentiated.
        """
        unique = {id(leaf): leaf for leaf in self.leaves.values()}
        try:
            gradients = torch.autograd.grad(
                loss,
                list(unique.values()),
                retain_graph=retain_graph or create_graph,
                create_graph=create_graph,
                materialize_grads=True,
            )
        except Exception as error:  # a backward pass may be the user's own code
            reason = str(error).strip() or type(error).__name__
            raise NoGradients(reason.splitlines()[0]) from error
        by_id = dict(zip(unique, gradients, strict=True))
        return {name: by_id[id(leaf)] for name, leaf in self.leaves.items()}


class Collector(ABC):
    """Observes the calibration passes and accumulates one field of the statistics.

    Its result is independent of which other collectors share the pass.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def observing(self, images: int) -> AbstractContextManager[Any]:  # noqa: ARG002
        """Entered for the forward and, if there is one, the backward pass of ``images`` images."""
        return nullcontext()

    def image(self, gradients: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Take one image's gradients (parameter name → gradient), in a pass that has them."""

    def batch_ends(self) -> None:  # noqa: B027
        """Called after all images of a minibatch."""

    @abstractmethod
    def result(self) -> dict[str, Any]:
        """The field of the statistics."""
