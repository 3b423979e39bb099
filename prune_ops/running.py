"""The user's network and loss, run: whatever they raise comes out as one line."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prune_ops.batches import described
from prune_ops.collectors.subject import Loss
from spaces.errors import ModelError, UserError, in_one_line
from spaces.inputs import call, tensors


def ran(model: nn.Module, inputs: Any) -> Any:
    """What the network makes of inputs of any form.

    Raises:
        ModelError: it fails.
    """
    must = f"the network must run on the inputs of every batch, but on {described(inputs)} it"
    hint = "give batches of what the space was discovered with, on the network's device"
    with in_one_line(ModelError, f"{must} fails with", hint):
        return call(model, inputs)


def total(outputs: Any) -> Tensor:
    """The sum of all numbers in the outputs, however they are nested.

    Raises:
        UserError: there are no real numbers.
    """
    sums = [tensor.sum() for tensor in tensors(outputs) if tensor.is_floating_point()]
    if not sums:
        raise UserError(
            f"the network must give real numbers, but it gives {described(outputs)}; give a "
            "network whose outputs hold them"
        )
    return torch.stack(sums).sum()


def measured(loss: Loss, outputs: Any, targets: Any) -> Tensor:
    """The loss, one number.

    Raises:
        UserError: it fails, or gives something else; what to pass instead.
    """
    if loss is cross_entropy and not isinstance(outputs, Tensor):
        raise UserError(
            "the default loss, cross_entropy, takes one tensor of logits, but the network gives "
            f"{described(outputs)}; pass loss=..., a function of (outputs, targets)"
        )
    met = f"the outputs {described(outputs)} and the targets {described(targets)}"
    hint = "pass loss=..., a function of (outputs, targets) that fits them"
    with in_one_line(UserError, f"the loss must take {met}, but it fails with", hint):
        value = loss(outputs, targets)
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.is_floating_point():
        raise UserError(
            f"the loss must return one number as a tensor, but it returns {_kind(value)}; pass "
            "loss=..., a function of (outputs, targets) that does"
        )
    return value


def logits(model: nn.Module, inputs: Any, targets: Any, who: str) -> Tensor:
    """The outputs ``(B, classes)`` for inputs whose targets are classes ``(B,)``.

    Args:
        who: takes nothing else; named where there is something else.

    Raises:
        UserError: the network gives no logits, or the targets are no classes.
    """
    outputs = ran(model, inputs)
    if (
        not isinstance(outputs, Tensor)
        or not isinstance(targets, Tensor)
        or outputs.dim() != 2
        or outputs.shape[:1] != targets.shape
    ):
        raise UserError(
            f"{who} takes networks that give logits (B, classes) and targets that are classes "
            f"(B,), but got outputs {described(outputs)} and targets {described(targets)}; judge "
            "this network otherwise"
        )
    return outputs


def _kind(value: Any) -> str:
    return f"{value.dtype} {described(value)}" if isinstance(value, Tensor) else described(value)
