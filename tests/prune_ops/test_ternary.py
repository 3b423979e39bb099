"""Ternary weights: the definition by hand and by search, and the straight-through gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prune_ops import ternarised, without_parametrization
from prune_ops.compression.ternary import ternary


def test_numbers_worked_out_by_hand():
    # E|W| = 7.5 / 4 = 1.875, Delta = 1.3125: 2 and 4 are larger, alpha = 3.
    assert ternary(torch.tensor([2.0, -1.0, 0.5, 4.0])).tolist() == [3.0, 0.0, 0.0, 3.0]
    # E|W| = 1.5, Delta = 1.05: |-2|, |-1.5| and 2.5 are larger, alpha = 2.
    weight = torch.tensor([[-2.0, 0.0], [-1.5, 2.5]])
    assert ternary(weight).tolist() == [[-2.0, 0.0], [-2.0, 2.0]]
    assert ternary(torch.tensor([0.5, -0.5])).tolist() == [0.5, -0.5]
    assert ternary(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


@given(st.lists(st.floats(-4, 4, width=32).filter(lambda w: abs(w) > 1e-3), min_size=1))
def test_alpha_is_the_nearest_for_its_threshold_and_there_are_three_values(values):
    weight = torch.tensor(values)
    three = ternary(weight)
    (alpha,) = three.abs()[three != 0].unique().tolist()
    sign = three.sign()
    assert torch.equal(sign != 0, weight.abs() > 0.7 * weight.abs().mean())
    distance = (weight - three).double().square().sum()
    for other in (alpha * 0.99, alpha * 1.01):
        assert distance <= (weight - other * sign).double().square().sum()


def test_the_gradient_reaches_the_full_precision_weight_as_it_is():
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 4), torch.randn(3, 6)
    small = ternarised(layer)
    small(x).square().sum().backward()
    plain = nn.Linear(6, 4)
    with torch.no_grad():
        plain.weight.copy_(ternary(layer.weight))
        plain.bias.copy_(layer.bias)
    plain(x).square().sum().backward()
    shadow = small.parametrizations.weight.original
    assert torch.equal(shadow.detach(), layer.weight)
    assert torch.equal(shadow.grad, plain.weight.grad)  # also where the ternary weight is 0
    assert torch.equal(small.bias.grad, plain.bias.grad)
    torch.optim.SGD(small.parameters(), lr=0.1).step()
    stepped = layer.weight.detach() - 0.1 * plain.weight.grad
    torch.testing.assert_close(small.weight, ternary(stepped))


@pytest.mark.parametrize("steps", [0, 3])
def test_after_training_every_layer_has_three_values(steps):
    torch.manual_seed(0)
    small = ternarised(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3)))
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        small(torch.randn(8, 1, 4, 4)).square().mean().backward()
        optimizer.step()
    plain = without_parametrization(small)
    for layer in (plain[0], plain[2]):  # the first and the last are no exception
        low, zero, high = layer.weight.unique().tolist()
        assert (zero, -low) == (0, high)
        assert len(layer.bias.unique()) > 2
