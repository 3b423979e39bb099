"""The accuracy of a network on batches of images, as proxies measure it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from prune_ops.batches import Pair, read
from prune_ops.running import logits
from spaces.errors import UserError


@torch.no_grad()
def accuracy(model: nn.Module, batches: Iterable[Pair]) -> float:
    """The share of images whose highest output is their class; the model runs in its own mode.

    Raises:
        UserError: no image, or a network that gives no logits.
    """
    hits = [
        logits(model, batch.inputs, batch.targets, "accuracy").argmax(1) == batch.targets
        for batch in read(batches)
    ]
    if not hits:
        raise UserError(
            "accuracy needs at least one held-out image, but got none; give more training data"
        )
    correct = torch.cat(hits)
    return correct.sum().item() / len(correct)
