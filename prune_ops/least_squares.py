"""Least squares: by normal equations, in general and for a layer's weight given its outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prune_ops.contributions import Layer, patches
from spaces.errors import UserError

RTOL = 1e-10
"""Relative cutoff, of squares: directions in which the images vary less are left unchanged."""
CHUNK = 4096
"""Positions processed at once."""

Equations = Sequence[tuple[Tensor, Tensor]]
"""XᵀX and Xᵀy of each group of a layer, float64: X the kernels' inputs, y the targets."""


def normal_equations(layer: Layer, at: Tensor, targets: Tensor) -> Equations:
    """Those for ``targets`` ``(n, O)`` at flat output positions ``at`` ``(n,)``."""
    by_group = targets.double().chunk(layer.groups, 1)
    return [_summed(layer, at, group, part) for group, part in enumerate(by_group)]


def added(first: Equations, second: Equations) -> Equations:
    """The equations for the targets of both."""
    pairs = zip(first, second, strict=True)
    return [(normal + more, right + further) for (normal, right), (more, further) in pairs]


def weight_change(equations: Equations, layer: Layer) -> Tensor:
    """The least-squares change of the layer's weight, of its shape and the smallest norm."""
    changes = []
    for normal, right in equations:
        solution = least_squares(normal, right)
        change = solution.T.reshape(right.shape[1], -1, *layer.weight.shape[2:])
        changes.append(change.transpose(0, 1) if layer.transposed else change)
    return torch.cat(changes)


def least_squares(normal: Tensor, right: Tensor) -> Tensor:
    """The s of smallest norm that minimises ‖y − X s‖², from XᵀX and Xᵀy.

    Raises:
        UserError: one of them is not finite.
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
    """One group's equations, summed over the positions chunk by chunk."""
    size, positions = layer.inputs.shape[1] // layer.groups, math.prod(layer.positions)
    channels = torch.arange(group * size, (group + 1) * size, device=at.device)
    unknowns = size * math.prod(layer.weight.shape[2:])
    normal = targets.new_zeros(unknowns, unknowns)
    right = targets.new_zeros(unknowns, targets.shape[1])
    for chunk, rows in zip(at.split(CHUNK), targets.split(CHUNK), strict=True):
        position: Any = torch.unravel_index(chunk % positions, layer.positions)
        inputs = patches(layer, chunk // positions, position, channels.expand(len(chunk), -1))
        x = inputs.flatten(1).double()
        normal.addmm_(x.T, x)
        right.addmm_(x.T, rows)
    return normal, right
