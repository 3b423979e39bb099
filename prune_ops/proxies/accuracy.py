"""The accuracy of a network on batches of images, as proxies measure it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from spaces.errors import UserError


@torch.no_grad()
def accuracy(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The share of images whose highest output is their class; the model runs in its own mode."""
    hits = [model(inputs).argmax(1) == targets for inputs, targets in batches]
    if not hits:
        raise UserError(
            "accuracy needs at least one held-out image, but got none; give more training data"
        )
    correct = torch.cat(hits)
    return correct.sum().item() / len(correct)
