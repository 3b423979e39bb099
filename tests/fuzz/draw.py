"""What the grammar is made of: steps, their operations by domain, and a seeded hand."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

WIDTHS = (4, 6, 8, 12, 16, 24, 32)


class Step(nn.Module):
    """One operation of a random network.

        Step(lambda m, x: x + m.f(x), f=nn.Conv2d(8, 8, 1))

    Args:
        run: what it computes of itself and the tensor that comes.
        parts: its modules, parameters and (persistent) buffers by name.
    """

    def __init__(self, run: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            is_buffer = isinstance(part, Tensor) and not isinstance(part, nn.Parameter)
            self.register_buffer(name, part) if is_buffer else setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


class Draw(random.Random):
    """A seeded hand that draws sizes that fit."""

    def width(self) -> int:
        """Channels of a new layer."""
        return self.choice(WIDTHS)

    def often(self, share: float = 0.5) -> bool:
        """True in so many draws."""
        return self.random() < share

    def operation(self, x: Tensor) -> str:
        """The name of one that a tensor's domain has."""
        known = OPERATIONS[DOMAINS[x.dim()]]
        return self.choices([*known], [each.weight for each in known.values()])[0]

    def divisor(self, number: int, *others: int) -> int:
        """A number from 2 to 8 that divides all, or 1."""
        fit = [k for k in (2, 3, 4, 8) if all(n % k == 0 for n in (number, *others))]
        return self.choice(fit) if fit else 1

    def parameter(self, *shape: int) -> nn.Parameter:
        """Values around 0.5, drawn from torch's generator."""
        return nn.Parameter(torch.rand(shape) * 0.5 + 0.25)


DOMAINS = {4: "image", 3: "sequence", 2: "vector"}
"""By the number of dims."""

Operation = Callable[[Draw, Tensor], Step | None]
"""Draws a step for a tensor; None where none fits its shape."""

OPERATIONS: dict[str, dict[str, Operation]] = {"image": {}, "sequence": {}, "vector": {}}
"""Domain → name → operation: (N, C, H, W), (N, L, C) and (N, C)."""

OWN = 3
"""An operation of one domain is drawn so many times as often as one of all domains."""


def operation(*domains: str) -> Callable[[Operation], Operation]:
    """Enter a function into the grammar under its own name."""

    def enter(function: Operation) -> Operation:
        for domain in domains:
            OPERATIONS[domain][function.__name__] = function
        function.weight = 1 if len(domains) == len(OPERATIONS) else OWN  # type: ignore[attr-defined]
        return function

    return enter


def channel_dim(x: Tensor) -> int:
    """Where the channels of a domain lie."""
    return 1 if x.dim() != 3 else 2


def along(x: Tensor) -> tuple[int, ...]:
    """The shape of a parameter with one value a channel."""
    return (x.shape[1], 1, 1) if x.dim() == 4 else (x.shape[-1],)


def layer(d: Draw, x: Tensor, outputs: int | None = None) -> nn.Module:
    """A plain layer with weights for the tensor: a convolution that keeps its size, or linear."""
    width = outputs or d.width()
    if x.dim() == 4:
        kernel = d.choice((1, 3))
        return nn.Conv2d(x.shape[1], width, kernel, padding=kernel // 2)
    return nn.Linear(x.shape[-1], width)
