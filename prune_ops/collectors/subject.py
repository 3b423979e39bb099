"""Subject: what the calibration pass looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.evidence import detached
from spaces import Space, copied

Loss = Callable[[Any, Any], Tensor]
"""``loss(outputs, targets)`` → scalar, a mean over the batch; outputs as the network gives them."""


class NoGradients(Exception):
    """The loss has no gradient by the weights that can be pruned; ``str(error)`` says why."""


class NoCurvature(NoGradients):
    """There are gradients, but they cannot be differentiated once more."""


class Subject:
    """A copy of the model to take gradients of: eval mode, only the groups' weights take any.

    Attributes:
        batched: whether items of a batch lie along the first dim.
        weights: every parameter by name, without gradient.
        leaves: those of the groups, to take gradients by.
    """

    def __init__(self, model: nn.Module, space: Space, loss: Loss, seed: int = 0) -> None:
        self.model = copied(model).eval().requires_grad_(False)
        self.groups = space.groups
        self.activations = space.activations
        self.batched = space.batched
        self.loss = loss
        self.seed = seed
        wanted = {member.parameter for group in self.groups for member in group.members}
        named = dict(self.model.named_parameters(remove_duplicate=False))
        self.leaves = {n: p for n, p in named.items() if n in wanted and p.is_floating_point()}
        for leaf in self.leaves.values():
            leaf.requires_grad_(True)
        self.weights = detached(self.model)

    def gradients(
        self, loss: Tensor, create_graph: bool = False, retain_graph: bool = False
    ) -> dict[str, Tensor]:
        """Parameter name → gradient of the loss, zero where the loss does not depend.

        Args:
            create_graph: so that what is made of the gradients can be differentiated in turn.
            retain_graph: so that gradients of more can be taken through the same graph.

        Raises:
            NoGradients: the loss depends on none of them, or cannot be differentiated.
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
        except Exception as error:  # a backward pass may be the user's own
            reason = str(error).strip() or type(error).__name__
            raise NoGradients(reason.splitlines()[0]) from error
        found = dict(zip(unique, gradients, strict=True))
        return {name: found[id(leaf)] for name, leaf in self.leaves.items()}
