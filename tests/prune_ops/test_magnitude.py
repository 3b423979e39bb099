"""Magnitude pruning: how many and which weights become zero, and that they stay so."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prune_ops import layer_weights, sparsified, without_parametrization
from spaces import UserError


def two_layers(first: list[float], second: list[float]) -> nn.Sequential:
    """Two linear layers of one output each, with these weights."""
    layers = [nn.Linear(len(weights), 1) for weights in (first, second)]
    with torch.no_grad():
        for layer, weights in zip(layers, (first, second), strict=True):
            layer.weight.copy_(torch.tensor([weights]))
    return nn.Sequential(*layers)


def left(model: nn.Module) -> list[list[float]]:
    return [weight.flatten().tolist() for weight in layer_weights(without_parametrization(model))]


def test_all_weights_of_the_network_are_compared_with_one_another():
    model = two_layers([0.1, -5.0, 0.3, 4.0], [-2.0, 0.2])
    assert left(sparsified(model, 0.5)) == [[0.0, -5.0, 0.0, 4.0], [-2.0, 0.0]]
    assert left(sparsified(two_layers([0.1, 0.2], [3.0, 4.0]), 0.5)) == [[0.0, 0.0], [3.0, 4.0]]


def test_or_each_layer_loses_the_same_share():
    model = two_layers([0.1, -5.0, 0.3, 4.0], [-2.0, 0.2])
    assert left(sparsified(model, 0.5, "layer")) == [[0.0, -5.0, 0.0, 4.0], [-2.0, 0.0]]
    small = two_layers([0.1, 0.2], [3.0, 4.0])
    assert left(sparsified(small, 0.5, "layer")) == [[0.0, pytest.approx(0.2)], [0.0, 4.0]]


def test_of_equally_large_ones_the_first_stay():
    model = two_layers([1.0, -1.0, 1.0], [-1.0, 1.0])
    assert left(sparsified(model, 0.4)) == [[1.0, -1.0, 1.0], [0.0, 0.0]]
    assert left(sparsified(model, 0.8)) == [[1.0, 0.0, 0.0], [0.0, 0.0]]


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_exactly_k_of_n_become_zero_ties_or_not(first, second, data):
    levels = st.sampled_from([-2.0, -1.0, 1.0, 2.0])
    weights = [data.draw(st.lists(levels, min_size=n, max_size=n)) for n in (first, second)]
    n = first + second
    k = data.draw(st.integers(0, n - 1))
    sparse = left(sparsified(two_layers(*weights), k / n))
    flat, was = list(chain(*sparse)), list(chain(*weights))
    assert flat.count(0.0) == k
    gone = [abs(w) for w, now in zip(was, flat, strict=True) if now == 0]
    kept = [abs(w) for w, now in zip(was, flat, strict=True) if now != 0]
    assert max(gone, default=0) <= min(kept)


def test_zeros_stay_zero_and_the_rest_is_trained():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
    sparse = sparsified(model, 0.7)
    zeros = [weight == 0 for weight in layer_weights(without_parametrization(sparse))]
    optimizer = torch.optim.SGD(
        sparse.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1
    )
    before = [p.clone() for p in without_parametrization(sparse).parameters()]
    for _ in range(5):
        optimizer.zero_grad()
        sparse(torch.randn(8, 1, 4, 4)).square().mean().backward()
        optimizer.step()
    trained = without_parametrization(sparse)
    assert sum(int(zero.sum()) for zero in zeros) == round(0.7 * (36 + 48))
    for weight, zero in zip(layer_weights(trained), zeros, strict=True):
        assert (weight[zero] == 0).all()
        assert (weight[~zero] != 0).all()
    for old, new in zip(before, trained.parameters(), strict=True):
        assert not torch.equal(old, new)
    masks = {name: b for name, b in sparse.named_buffers() if name.endswith("mask")}
    assert list(masks) == [f"{k}.parametrizations.weight.0.mask" for k in (0, 3)]
    assert torch.equal(masks["3.parametrizations.weight.0.mask"], ~zeros[1])


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, float("nan")])
def test_a_share_that_cannot_be_is_refused(sparsity):
    with pytest.raises(UserError, match="sparsity must be at least 0 and below 1, but got"):
        sparsified(nn.Linear(2, 2), sparsity)


def test_an_unknown_scope_is_refused():
    with pytest.raises(UserError, match="unknown scope 'layers', did you mean 'layer'"):
        sparsified(nn.Linear(2, 2), 0.5, "layers")
