"""Random directions of a network's outputs: how far outputs move, whatever the targets are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from prune_ops.collectors.collector import Loss, NoGradients
from spaces.inputs import tensors

TEMPERATURE = 4.0
"""At which a classifier's outputs are compared, as in distillation (Hinton et al. 2015). At 1 the
few images that the network is unsure of would decide everything."""


def probed(outputs: Any, loss: Loss, generator: torch.Generator) -> Tensor:
    """A scalar whose gradient g, drawn at random, has E[(g·d)²] = twice the cost of a small change.

    g·d is the change of the scalar for a change d of some weights or layer. For logits, where the
    loss is cross-entropy, the cost is the Kullback-Leibler divergence of the class probabilities at
    ``TEMPERATURE``, as a classifier is unsure at it about all likely classes; for other outputs
    half the sum of squared changes.
    """
    found = [output for output in tensors(outputs) if output.is_floating_point()]
    if not found:
        raise NoGradients("its outputs hold no tensor of real numbers")
    if loss is cross_entropy and len(found) == 1 and found[0].ndim == 2:
        logits = found[0].float() / TEMPERATURE
        classes = torch.multinomial(logits.detach().softmax(1).cpu(), 1, generator=generator)
        return cross_entropy(logits, classes.flatten().to(logits.device), reduction="sum")
    return torch.stack(
        [(output.float() * _signs(output, generator)).sum() for output in found]
    ).sum()


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.randint(2, like.shape, generator=generator) * 2 - 1).to(like.device)
