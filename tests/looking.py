"""What could have changed in a model, to compare before and after."""

from __future__ import annotations

from typing import Any

from torch import nn


def look_at(model: nn.Module) -> dict[str, Any]:
    """State, gradients, modes and hooks, as plain values."""
    return {
        "state": {name: value.tolist() for name, value in model.state_dict().items()},
        "parameters": [
            (n, id(p), p.requires_grad, None if p.grad is None else p.grad.tolist())
            for n, p in model.named_parameters()
        ],
        "modules": [
            (n, m.training, *map(len, (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)))
            for n, m in model.named_modules()
        ],
    }
