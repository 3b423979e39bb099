"""Running the user's network and loss: repeatably, and with one-line errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prune_ops.batches import Pair, described, read
from prune_ops.collectors.collector import Loss
from spaces.errors import ModelError, UserError, in_one_line
from spaces.inputs import call, tensors


def forward(model: nn.Module, inputs: Any) -> Any:
    """The network's outputs for inputs of any form; whatever it raises becomes a ModelError."""
    must = f"the network must run on the inputs of every batch, but on {described(inputs)} it"
    hint = "give batches of what the space was discovered with, on the network's device"
    with in_one_line(ModelError, f"{must} fails with", hint):
        return call(model, inputs)


def output_sum(outputs: Any) -> Tensor:
    """The sum of all numbers in the outputs, however nested; UserError if there are none."""
    sums = [tensor.sum() for tensor in tensors(outputs) if tensor.is_floating_point()]
    if not sums:
        raise UserError(
            f"the network must give real numbers, but it gives {described(outputs)}; give a "
            "network whose outputs hold them"
        )
    return torch.stack(sums).sum()


def evaluate_loss(loss: Loss, outputs: Any, targets: Any) -> Tensor:
    """The loss, one number; the UserError if it fails or is none says what to pass instead."""
    if loss is cross_entropy and not isinstance(outputs, Tensor):
        raise UserError(
            "the default loss, cross_entropy, takes one tensor of logits, but the network gives "
            f"{described(outputs)}; pass loss=..., a function of (outputs, targets)"
        )
    arguments = f"the outputs {described(outputs)} and the targets {described(targets)}"
    hint = "pass loss=..., a function of (outputs, targets) that fits them"
    with in_one_line(UserError, f"the loss must take {arguments}, but it fails with", hint):
        value = loss(outputs, targets)
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.is_floating_point():
        kind = f"{value.dtype} " if isinstance(value, Tensor) else ""
        raise UserError(
            f"the loss must return one number as a tensor, but it returns {kind}"
            f"{described(value)}; pass loss=..., a function of (outputs, targets) that does"
        )
    return value


def logits(model: nn.Module, inputs: Any, targets: Any, caller: str) -> Tensor:
    """The outputs ``(B, classes)`` for targets ``(B,)``; of others, a UserError by ``caller``."""
    outputs = forward(model, inputs)
    if (
        not isinstance(outputs, Tensor)
        or not isinstance(targets, Tensor)
        or outputs.dim() != 2
        or outputs.shape[:1] != targets.shape
    ):
        raise UserError(
            f"{caller} takes networks that give logits (B, classes) and targets that are classes "
            f"(B,), but got outputs {described(outputs)} and targets {described(targets)}; judge "
            "this network otherwise"
        )
    return outputs


def batch_loss(model: nn.Module, loss: Loss, inputs: Any, targets: Any, caller: str) -> Tensor:
    """Of a batch; a UserError by ``caller`` where it is the cross-entropy, and the network gives no
    logits or the targets are no classes."""
    if loss is cross_entropy:
        return cross_entropy(logits(model, inputs, targets, caller).float(), targets)
    return evaluate_loss(loss, forward(model, inputs), targets)


def summed(numbers: Iterable[Tensor]) -> float:
    """The sum of tensors of one number each, which are read back from the device at once."""
    found = list(numbers)
    read_back: list[float] = torch.stack(found).tolist() if found else []
    return sum(read_back)


@torch.no_grad()
def accuracy(model: nn.Module, batches: Iterable[Pair]) -> float:
    """The share of images whose highest logit is their class; the model runs in its own mode."""
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


@contextmanager
def repeatable(model: nn.Module) -> Iterator[None]:
    """Make forward and backward passes of ``model`` deterministic on CUDA.

    cuDNN's fastest backward passes sum in a varying order, and its recurrent layers have none in
    eval mode.
    """
    cudnn = torch.backends.cudnn
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    before = cudnn.enabled, cudnn.deterministic, cudnn.benchmark
    cudnn.enabled, cudnn.deterministic, cudnn.benchmark = before[0] and not recurrent, True, False
    try:
        yield
    finally:
        cudnn.enabled, cudnn.deterministic, cudnn.benchmark = before
