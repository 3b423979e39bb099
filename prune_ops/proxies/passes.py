"""What gradient proxies share: the network's mode, its layers, and the passes over images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from prune_ops.batches import Pair
from prune_ops.collectors.collector import Loss
from prune_ops.running import batch_loss, repeatable
from prune_ops.weights import layer_weights
from spaces import copied
from spaces.inputs import items

CALLER = "a proxy that looks at gradients of the cross-entropy"
"""Takes logits and classes only."""
BATCHES = 4
"""Number of calibration batches used: the papers take one or two, at initialisation."""


@dataclass(frozen=True)
class Passes:
    """Results of one forward and backward pass over each of the first ``BATCHES`` batches.

    Attributes:
        model: the copy that they were made with, as ``with_batch_statistics`` gives it.
        batches: the images; L below is ``loss``, a mean over one batch.
        weights: of ``model``, as ``layer_weights`` gives them: biases and normalisations are left
            out, as in the papers.
        gradients: of each batch, the gradient of L by each weight.
        attributions: of each batch, for every use of a layer: ``(images, channels)``, the sum over
            positions of its output times the gradient of the image's own loss by that output.
    """

    model: nn.Module
    batches: Sequence[Pair]
    weights: Sequence[nn.Parameter]
    gradients: Sequence[Sequence[Tensor]]
    attributions: Sequence[Sequence[Tensor]]
    loss: Loss = cross_entropy

    @property
    def shares(self) -> list[float]:
        """Each batch's share of all images."""
        sizes = [items(inputs) for inputs, _ in self.batches]
        return [size / sum(sizes) for size in sizes]

    @property
    def gradient(self) -> list[Tensor]:
        """The gradient of the mean loss over all images, by each weight."""
        return [
            reduce(torch.add, [share * g for share, g in zip(self.shares, by_batch, strict=True)])
            for by_batch in zip(*self.gradients, strict=True)
        ]


def with_batch_statistics(model: nn.Module) -> nn.Module:
    """A copy in eval mode, so without dropout, whose BatchNorms normalise by the batch.

    The papers judge networks at initialisation, and a pruned network's statistics are inherited.
    """
    model = copied(model).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return model


def usable(batches: Iterable[Pair]) -> Iterator[Pair]:
    """Those of two images or more: one image has no variance to normalise by."""
    return (batch for batch in batches if items(batch[0]) > 1)


def passes(model: nn.Module, batches: Sequence[Pair], loss: Loss = cross_entropy) -> Passes:
    """Forward and backward over the given batches; ``model`` is unchanged."""
    model = with_batch_statistics(model)
    weights = layer_weights(model)
    for weight in weights:
        weight.requires_grad_(True)
    results = [_pass(model, weights, loss, *batch) for batch in batches]
    gradients, attributions = ([r[i] for r in results] for i in (0, 1))
    return Passes(model, batches, weights, gradients, attributions, loss)


@torch.enable_grad()
def _pass(
    model: nn.Module, weights: Sequence[nn.Parameter], loss: Loss, inputs: Any, targets: Any
) -> tuple[Sequence[Tensor], list[Tensor]]:
    with repeatable(model), _outputs(model) as outputs:
        value = batch_loss(model, loss, inputs, targets, CALLER)
        variables = [*weights, *(output for _, output in outputs)]
        gradients = torch.autograd.grad(value, variables, materialize_grads=True)
    by_output = [items(inputs) * g for g in gradients[len(weights) :]]  # L is a mean
    pairs = zip(outputs, by_output, strict=True)
    attributions = [_by_channel(layer, a.detach() * g) for (layer, a), g in pairs]
    return gradients[: len(weights)], attributions


@contextmanager
def _outputs(model: nn.Module) -> Iterator[list[tuple[nn.Module, Tensor]]]:
    """The layers in order of use, with their outputs."""
    outputs: list[tuple[nn.Module, Tensor]] = []

    def keep(layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        if output.requires_grad:
            outputs.append((layer, output))
        return output.clone()  # the next operation may work in place

    layers = [module for module in model.modules() if isinstance(module, _ConvNd | nn.Linear)]
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _by_channel(layer: nn.Module, products: Tensor) -> Tensor:
    channels = -1 if isinstance(layer, nn.Linear) else 1
    moved = products.movedim(channels, 1)
    return moved.reshape(*moved.shape[:2], -1).sum(2)
