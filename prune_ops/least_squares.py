"""Least squares: by normal equations, in general and for a layer's weight given its outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

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

TOO_FEW = 2
"""Of fewer rows per unknown the residual says too little of the noise."""


@dataclass(frozen=True, slots=True)
class Equations:
    """The normal equations of one group of a layer, float64: X the kernels' inputs, Y the targets.

    An unknown is kernel position x input channels of the group + input channel.

    Attributes:
        normal: ``(unknowns, unknowns)``: XᵀX.
        right: ``(unknowns, O/groups)``: XᵀY.
        squares: ``()``: ‖Y‖².
        rows: of X.
    """

    normal: Tensor
    right: Tensor
    squares: Tensor
    rows: int

    def __add__(self, other: Equations) -> Equations:
        """The equations for the targets of both."""
        return Equations(
            self.normal + other.normal,
            self.right + other.right,
            self.squares + other.squares,
            self.rows + other.rows,
        )

    def from_start(self, start: Tensor) -> Equations:
        """Those of what has to be added to ``start`` ``(unknowns, O/groups)``."""
        reached = self.normal @ start
        squares = self.squares - 2 * (start * self.right).sum() + (start * reached).sum()
        return replace(self, right=self.right - reached, squares=squares)


def normal_equations(layer: Layer, at: Tensor, targets: Tensor) -> list[Equations]:
    """Of each group, for ``targets`` ``(n, O)`` at flat output positions ``at`` ``(n,)``."""
    by_group = targets.double().chunk(layer.groups, 1)
    return [_summed(layer, at, group, part) for group, part in enumerate(by_group)]


def added(first: Sequence[Equations], second: Sequence[Equations]) -> list[Equations]:
    """The equations of each group for the targets of both."""
    return [one + other for one, other in zip(first, second, strict=True)]


def of_change(equations: Sequence[Equations], layer: Layer) -> list[Equations]:
    """From equations of the weight, those of what has to be added to the layer's weight."""
    weights = layer.weight.double().chunk(layer.groups)
    pairs = zip(equations, weights, strict=True)
    return [own.from_start(_as_unknowns(weight, layer)) for own, weight in pairs]


def weight_change(equations: Sequence[Equations], layer: Layer) -> Tensor:
    """The change of the layer's weight that `ridge_regression` finds, of its shape."""
    kernel = layer.weight.shape[2:]
    changes = []
    for own in equations:
        change = ridge_regression(own).reshape(math.prod(kernel), -1, own.right.shape[1])
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


def ridge_regression(equations: Equations) -> Tensor:
    """``(unknowns, O/groups)``: the least squares, shrunk as far as noise has a part in them.

    The ridge is unknowns · σ² / ‖S‖², for all outputs together, with σ² the variance of the
    residual of the least squares S: none where they fit exactly. Where rows are too few to tell
    σ², it is the mean squared norm of a row of X.

    Definition: Hoerl, Kennard and Baldwin, Ridge Regression: Some Simulations, 1975.
    """
    normal, right, rows = equations.normal, equations.right, equations.rows
    unknowns, found = len(normal), least_squares(normal, right)
    if rows < TOO_FEW * unknowns:
        ridge = normal.trace() / max(rows, 1)
    else:
        residual = (equations.squares - (found * right).sum()).clamp(min=0)
        ridge = unknowns * residual / (rows - unknowns) / found.square().sum()
    if not (ridge.isfinite() and ridge > RTOL * normal.trace()):  # exact, or nothing to be found
        return found
    shrunk = normal + torch.diag(ridge.expand(unknowns))
    return torch.cholesky_solve(right, torch.linalg.cholesky(shrunk))


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


def _summed(layer: Layer, at: Tensor, group: int, targets: Tensor) -> Equations:
    """One group's equations, summed over the positions chunk by chunk."""
    normal = targets.new_zeros(layer.unknowns, layer.unknowns)
    right = targets.new_zeros(layer.unknowns, targets.shape[1])
    for chunk, rows in zip(at.split(CHUNK), targets.split(CHUNK), strict=True):
        x = kernel_inputs(layer, chunk, group).flatten(1).double()
        _add_square(normal, x)
        right.addmm_(x.T, rows)
    whole = normal.triu() + normal.triu(1).T
    return Equations(whole, right, targets.square().sum(), len(at))


def _add_square(total: Tensor, x: Tensor) -> None:
    """Add XᵀX to ``total``, on and above the diagonal."""
    size = -(-x.shape[1] // BLOCKS)
    for start in range(0, x.shape[1], size):
        block = slice(start, start + size)
        total[block, start:].addmm_(x[:, block].T, x[:, start:])
