"""Least squares: by normal equations, in general and for a layer's weight given its outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from prune_ops.contributions import Layer, kernel_inputs
from spaces.errors import UserError

RTOL = 1e-10
"""Relative cutoff, of squares: directions in which the images vary less are left unchanged."""
CHUNK = 4096
"""Positions processed at once."""
BLOCKS = 4
"""Blocks of columns of a symmetric product; only those on and above its diagonal are computed."""

Equations = Sequence[tuple[Tensor, Tensor]]
"""XᵀX and Xᵀy of each group of a layer, float64: X the kernels' inputs, y the targets.

A row is an unknown: kernel position x input channels of the group + input channel.
"""


def normal_equations(layer: Layer, at: Tensor, targets: Tensor) -> Equations:
    """Those for ``targets`` ``(n, O)`` at flat output positions ``at`` ``(n,)``."""
    by_group = targets.double().chunk(layer.groups, 1)
    return [_summed(layer, at, group, part) for group, part in enumerate(by_group)]


def added(first: Equations, second: Equations) -> Equations:
    """The equations for the targets of both."""
    pairs = zip(first, second, strict=True)
    return [(normal + more, right + further) for (normal, right), (more, further) in pairs]


def of_change(equations: Equations, layer: Layer) -> Equations:
    """From equations of the weight, those of what has to be added to the layer's weight."""
    weights = layer.weight.double().chunk(layer.groups)
    return [
        (normal, right - normal @ _as_unknowns(weight, layer))
        for (normal, right), weight in zip(equations, weights, strict=True)
    ]


def weight_change(equations: Equations, layer: Layer) -> Tensor:
    """The least-squares change of the layer's weight, of its shape and the smallest norm."""
    kernel = layer.weight.shape[2:]
    changes = []
    for normal, right in equations:
        change = least_squares(normal, right).reshape(math.prod(kernel), -1, right.shape[1])
        change = change.permute(1, 2, 0) if layer.transposed else change.permute(2, 1, 0)
        changes.append(change.reshape(*change.shape[:2], *kernel))
    return torch.cat(changes)


def least_squares(normal: Tensor, right: Tensor) -> Tensor:
    """The s of smallest norm that minimises ‖y − X s‖², from XᵀX and Xᵀy.

    By Cholesky, unless there are directions to leave out; then by the pseudoinverse.

    Raises:
        UserError: one of them is not finite.
    """
    finite(normal), finite(right)
    if _determines_all(normal):
        factor, failed = torch.linalg.cholesky_ex(normal)
        if not failed:
            return torch.cholesky_solve(right.reshape(len(right), -1), factor).reshape_as(right)
    return torch.linalg.pinv(normal, rtol=RTOL, hermitian=True) @ right


def finite(measured: Tensor) -> Tensor:
    """``measured`` itself, or a UserError if it is not finite."""
    if not measured.isfinite().all():
        raise UserError(
            "what layers take and give must be finite, but with these images it is nan or inf; "
            "check that the weights and the calibration images are finite"
        )
    return measured


def _determines_all(normal: Tensor) -> bool:
    """Whether every eigenvalue is larger than ``RTOL`` times the largest, surely."""
    largest = normal.abs().sum(0).max()  # at least the largest eigenvalue
    shifted = normal - torch.diag(torch.full_like(normal[0], RTOL) * largest)
    return not torch.linalg.cholesky_ex(shifted).info


def _as_unknowns(weight: Tensor, layer: Layer) -> Tensor:
    """``(unknowns, O/groups)``: a group's part of the weight in the order of `Equations`."""
    flat = weight.flatten(2)
    flat = flat.permute(2, 0, 1) if layer.transposed else flat.permute(2, 1, 0)
    return flat.flatten(0, 1)


def _summed(layer: Layer, at: Tensor, group: int, targets: Tensor) -> tuple[Tensor, Tensor]:
    """One group's equations, summed over the positions chunk by chunk."""
    unknowns = layer.inputs.shape[1] // layer.groups * math.prod(layer.weight.shape[2:])
    normal = targets.new_zeros(unknowns, unknowns)
    right = targets.new_zeros(unknowns, targets.shape[1])
    for chunk, rows in zip(at.split(CHUNK), targets.split(CHUNK), strict=True):
        x = kernel_inputs(layer, chunk, group).flatten(1).double()
        _add_square(normal, x)
        right.addmm_(x.T, rows)
    return normal.triu() + normal.triu(1).T, right


def _add_square(total: Tensor, x: Tensor) -> None:
    """Add XᵀX to ``total``, on and above the diagonal."""
    size = -(-x.shape[1] // BLOCKS)
    for start in range(0, x.shape[1], size):
        block = slice(start, start + size)
        total[block, start:].addmm_(x[:, block].T, x[:, start:])
