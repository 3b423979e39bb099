"""Least squares: against NumPy's and the pseudoinverse, also where unknowns are not determined."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from prune_ops import least_squares as solving
from prune_ops.contributions import Layer, kernel_inputs
from prune_ops.least_squares import (
    RTOL,
    Equations,
    least_squares,
    normal_equations,
    of_change,
    ridge_regression,
)


@given(
    seed=st.integers(0, 2**16),
    unknowns=st.integers(1, 9),
    rows=st.integers(1, 30),
    rank=st.integers(0, 9),
    scale=st.sampled_from([1e-8, 1e-3, 1.0, 1e6]),
)
def test_the_solution_of_smallest_norm_whatever_the_rank(seed, unknowns, rows, rank, scale):
    draw = np.random.default_rng(seed)
    x = scale * draw.normal(size=(rows, rank)) @ draw.normal(size=(rank, unknowns))
    y = draw.normal(size=(rows, 2))
    normal, right = torch.from_numpy(x.T @ x), torch.from_numpy(x.T @ y)
    wanted = torch.linalg.pinv(normal, rtol=RTOL, hermitian=True) @ right
    found = least_squares(normal, right)
    bound = float(wanted.abs().max())
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * bound)
    missed = [np.square(y - x @ s.numpy()).sum() for s in (found, torch.zeros_like(found))]
    assert missed[0] <= missed[1] * (1 + 1e-9)


@pytest.mark.parametrize("exponent", [0, 4, 9, 10.5, 11, 14, 18])
def test_a_direction_is_left_out_where_the_images_hardly_vary(exponent):
    """Eigenvalues on both sides of the cutoff, in a basis that no factorisation finds easy."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    values = np.array([1, 0.5, 0.2, 10.0**-exponent])
    normal = torch.from_numpy(basis * values @ basis.T)
    right = torch.from_numpy(basis @ values)
    kept = values > RTOL
    wanted = torch.from_numpy(basis @ kept.astype(float))
    torch.testing.assert_close(least_squares(normal, right), wanted, rtol=0, atol=1e-4)


def test_nothing_measured_is_nothing_changed():
    assert not least_squares(torch.zeros(3, 3).double(), torch.zeros(3, 2).double()).any()


def layer(weight, inputs, groups=1, transposed=False):
    return Layer(inputs, weight, 4, (5, 4), (1, 1), (1, 0), (1, 1), groups, transposed)


@pytest.mark.parametrize("groups", [1, 2])
def test_inputs_under_the_kernel_are_those_that_unfold_gives(groups):
    inputs = torch.randn(3, 4, 5, 5)
    one = layer(torch.randn(4, 4 // groups, 3, 2), inputs, groups)
    at = torch.arange(3 * 20)
    unfolded = F.unfold(inputs, (3, 2), padding=(1, 0)).transpose(1, 2).reshape(60, 4, 6)
    for group in range(groups):
        part = unfolded[:, group * (4 // groups) : (group + 1) * (4 // groups)]
        torch.testing.assert_close(kernel_inputs(one, at, group), part.transpose(1, 2))


@pytest.mark.parametrize("chunk", [7, 4096])
@pytest.mark.parametrize("blocks", [1, 4, 100])
def test_equations_are_whole_and_symmetric_however_they_are_summed(monkeypatch, chunk, blocks):
    monkeypatch.setattr(solving, "CHUNK", chunk)
    monkeypatch.setattr(solving, "BLOCKS", blocks)
    one = layer(torch.randn(4, 4, 3, 2), torch.randn(3, 4, 5, 5))
    at, targets = torch.arange(0, 60, 2), torch.randn(30, 4)
    x = kernel_inputs(one, at, 0).flatten(1).double()
    (found,) = normal_equations(one, at, targets)
    torch.testing.assert_close(found.normal, x.T @ x)
    torch.testing.assert_close(found.right, x.T @ targets.double())
    torch.testing.assert_close(found.squares, targets.double().square().sum())
    assert found.rows == 30


@pytest.mark.parametrize(("groups", "transposed"), [(1, False), (2, False), (1, True), (2, True)])
def test_weights_that_give_the_targets_need_no_change(groups, transposed):
    inputs = torch.randn(3, 4, 5, 5).double()
    weight = torch.randn(4, 4 // groups, 3, 2).double()
    if transposed:
        outputs = F.conv_transpose2d(inputs, weight, padding=(1, 0), groups=groups)
    else:
        outputs = F.conv2d(inputs, weight, padding=(1, 0), groups=groups)
    positions = tuple(outputs.shape[2:])
    one = Layer(inputs, weight, 4, positions, (1, 1), (1, 0), (1, 1), groups, transposed)
    rows = outputs.movedim(1, -1).flatten(0, -2)
    for own in of_change(normal_equations(one, torch.arange(len(rows)), rows), one):
        torch.testing.assert_close(own.right, torch.zeros_like(own.right), rtol=0, atol=1e-9)
        assert abs(own.squares) < 1e-9


def equations(x, y):
    return Equations(x.T @ x, x.T @ y, y.square().sum(), len(x))


def test_the_ridge_is_that_of_hoerl_kennard_and_baldwin():
    """One unknown, by hand: XᵀX = 4, S = 2, residual 12 over 3 rows: 1 · 4 / 2² = 1."""
    x = torch.tensor([[1.0], [1], [1], [1]]).double()
    y = torch.tensor([[2 + 3**0.5], [2 + 3**0.5], [2 - 3**0.5], [2 - 3**0.5]]).double()
    torch.testing.assert_close(
        ridge_regression(equations(x, y)), torch.full((1, 1), 8 / 5).double()
    )


def test_what_fits_exactly_is_not_shrunk_and_what_has_too_few_rows_is_by_their_mean_norm():
    draw = torch.Generator().manual_seed(0)
    x, s = (torch.randn(*size, generator=draw).double() for size in ((20, 4), (4, 3)))
    torch.testing.assert_close(ridge_regression(equations(x, x @ s)), s)
    few, y = x[:7], torch.randn(7, 3, generator=draw).double()
    ridge = few.square().sum() / 7
    wanted = torch.linalg.solve(few.T @ few + ridge * torch.eye(4).double(), few.T @ y)
    torch.testing.assert_close(ridge_regression(equations(few, y)), wanted)


@given(seed=st.integers(0, 2**16), rows=st.integers(1, 30), noise=st.sampled_from([0.0, 0.1, 10.0]))
def test_no_ridge_makes_it_worse_than_no_change(seed, rows, noise):
    draw = np.random.default_rng(seed)
    x, s = draw.normal(size=(rows, 5)), draw.normal(size=(5, 2))
    y = x @ s + noise * draw.normal(size=(rows, 2))
    found = ridge_regression(equations(torch.from_numpy(x), torch.from_numpy(y))).numpy()
    assert np.square(y - x @ found).sum() <= np.square(y).sum() * (1 + 1e-9)


@pytest.mark.parametrize("rows", [3, 20])
def test_what_no_change_helps_is_not_changed(rows):
    """The targets are orthogonal to all inputs, or there are no inputs."""
    x, y = torch.zeros(rows, 4).double(), torch.ones(rows, 2).double()
    assert not ridge_regression(equations(x, y)).any()
    x[0] = 1
    y[0] = 0
    assert not ridge_regression(equations(x, y)).any()


def test_equations_add_up_and_start_anywhere():
    draw = torch.Generator().manual_seed(0)
    x, y, start = (
        torch.randn(*size, generator=draw).double() for size in ((20, 4), (20, 3), (4, 3))
    )
    both = equations(x[:8], y[:8]) + equations(x[8:], y[8:])
    moved, wanted = both.from_start(start), equations(x, y - x @ start)
    for name in ("normal", "right", "squares"):
        torch.testing.assert_close(getattr(moved, name), getattr(wanted, name))
    assert moved.rows == 20
