"""Least squares: of any normal equations, and of those that a layer's outputs give its weight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prune_ops.contributions import Layer, patches
from spaces.errors import UserError

RTOL = 1e-10
"""Of squares: along what the images vary in by less, nothing is changed."""
CHUNK = 4096
"""Positions looked at at once."""


@dataclass(frozen=True, slots=True)
class Equations:
    """XᵀX and Xᵀy of each group of a layer, float64: X what its kernels meet, y what is wanted.

    >>> change = (Equations.of(layer, at, one) + Equations.of(layer, there, other)).solved(layer)
    """

    normal: list[Tensor]
    right: list[Tensor]

    @classmethod
    def of(cls, layer: Layer, at: Tensor, wanted: Tensor) -> Equations:
        """Those of output positions ``(n,)`` at which ``(n, O)`` is wanted."""
        parts = wanted.double().chunk(layer.groups, 1)
        found = [_summed(layer, at, group, part) for group, part in enumerate(parts)]
        return cls([normal for normal, _ in found], [right for _, right in found])

    def __add__(self, other: Equations) -> Equations:
        return Equations(
            [one + more for one, more in zip(self.normal, other.normal, strict=True)],
            [one + more for one, more in zip(self.right, other.right, strict=True)],
        )

    def solved(self, layer: Layer) -> Tensor:
        """The least change of the weight, of its shape, that takes most of what is wanted."""
        changes = []
        for normal, right in zip(self.normal, self.right, strict=True):
            solved = least_squares(normal, right)
            changes.append(solved.T.reshape(right.shape[1], -1, *layer.weight.shape[2:]))
        if layer.transposed:
            return torch.cat([change.transpose(0, 1) for change in changes])
        return torch.cat(changes)


def least_squares(normal: Tensor, right: Tensor) -> Tensor:
    """The smallest s that takes most of ‖y − X s‖², of ``normal`` XᵀX and ``right`` Xᵀy.

    Raises:
        UserError: they are not finite.
    """
    return torch.linalg.pinv(finite(normal), rtol=RTOL, hermitian=True) @ finite(right)


def finite(measured: Tensor) -> Tensor:
    """The same.

    Raises:
        UserError: it is not finite.
    """
    if not measured.isfinite().all():
        raise UserError(
            "what layers take and give must be finite, but with these images it is nan or inf; "
            "check that the weights and the calibration images are finite"
        )
    return measured


def _summed(layer: Layer, at: Tensor, group: int, wanted: Tensor) -> tuple[Tensor, Tensor]:
    size = layer.inputs.shape[1] // layer.groups * math.prod(layer.weight.shape[2:])
    normal, right = wanted.new_zeros(size, size), wanted.new_zeros(size, wanted.shape[1])
    for some, rows in zip(at.split(CHUNK), wanted.split(CHUNK), strict=True):
        x = _met(layer, some, group)
        normal.addmm_(x.T, x)
        right.addmm_(x.T, rows)
    return normal, right


def _met(layer: Layer, at: Tensor, group: int) -> Tensor:
    """What the kernels of a group meet at those positions: ``(n, I/groups x kernel)`` float64."""
    size, positions = layer.inputs.shape[1] // layer.groups, math.prod(layer.positions)
    channels = torch.arange(group * size, (group + 1) * size, device=at.device)
    where: Any = torch.unravel_index(at % positions, layer.positions)
    met = patches(layer, at // positions, where, channels.expand(len(at), -1))
    return met.flatten(1).double()
