"""Least squares: by normal equations, in general and for a layer's weight given its outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import add
from typing import Any

import torch
from torch import Tensor

from prune_ops.contributions import Layer, patches
from spaces.errors import UserError

RTOL = 1e-10
"""Relative cutoff, of squares: directions in which the images vary less are left unchanged."""
CHUNK = 4096
"""Positions processed at once."""


@dataclass(frozen=True, slots=True)
class NormalEquations:
    """XᵀX and Xᵀy of each group of a layer, float64: X the kernels' inputs, y the targets."""

    normal: list[Tensor]
    right: list[Tensor]

    @classmethod
    def of(cls, layer: Layer, at: Tensor, targets: Tensor) -> NormalEquations:
        """The equations for ``targets`` ``(n, O)`` at flat output positions ``at`` ``(n,)``."""
        by_group = targets.double().chunk(layer.groups, 1)
        sums = [_summed(layer, at, group, part) for group, part in enumerate(by_group)]
        return cls([normal for normal, _ in sums], [right for _, right in sums])

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(
            list(map(add, self.normal, other.normal)), list(map(add, self.right, other.right))
        )

    def solved(self, layer: Layer) -> Tensor:
        """The least-squares change of the weight, of its shape and the smallest norm."""
        changes = []
        for normal, right in zip(self.normal, self.right, strict=True):
            solution = least_squares(normal, right)
            changes.append(solution.T.reshape(right.shape[1], -1, *layer.weight.shape[2:]))
        if layer.transposed:
            return torch.cat([change.transpose(0, 1) for change in changes])
        return torch.cat(changes)


def least_squares(normal: Tensor, right: Tensor) -> Tensor:
    """The s of smallest norm that minimises ‖y − X s‖², for ``normal`` XᵀX and ``right`` Xᵀy.

    Raises:
        UserError: they are not finite.
    """
    return torch.linalg.pinv(finite(normal), rtol=RTOL, hermitian=True) @ finite(right)


def finite(measured: Tensor) -> Tensor:
    """``measured`` itself, or a UserError if it is not finite."""
    if not measured.isfinite().all():
        raise UserError(
            "what layers take and give must be finite, but with these images it is nan or inf; "
            "check that the weights and the calibration images are finite"
        )
    return measured


def _summed(layer: Layer, at: Tensor, group: int, targets: Tensor) -> tuple[Tensor, Tensor]:
    size = layer.inputs.shape[1] // layer.groups * math.prod(layer.weight.shape[2:])
    normal, right = targets.new_zeros(size, size), targets.new_zeros(size, targets.shape[1])
    for chunk, rows in zip(at.split(CHUNK), targets.split(CHUNK), strict=True):
        x = _kernel_inputs(layer, chunk, group)
        normal.addmm_(x.T, x)
        right.addmm_(x.T, rows)
    return normal, right


def _kernel_inputs(layer: Layer, at: Tensor, group: int) -> Tensor:
    """The inputs of a group's kernels at those positions: ``(n, I/groups x kernel)`` float64."""
    size, positions = layer.inputs.shape[1] // layer.groups, math.prod(layer.positions)
    channels = torch.arange(group * size, (group + 1) * size, device=at.device)
    position: Any = torch.unravel_index(at % positions, layer.positions)
    inputs = patches(layer, at // positions, position, channels.expand(len(at), -1))
    return inputs.flatten(1).double()
