"""thinet: the greedy order against its definition, and its scores on networks."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from networks import SMALL
from torch import nn

import prune_ops
import spaces
from prune_ops.criteria.contributions import removal_order
from spaces.errors import UserError


def objective(x, removed):
    """Σ_n (Σ_{j∈T} x_{n,j})² for x (n, channels)."""
    return np.square(x[:, list(removed)].sum(1)).sum()


def contributions(samples, channels, seed):
    """Correlated as the channels of a layer are: a few directions and noise."""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(3, channels))
    return random.normal(size=(samples, 3)) @ directions + random.normal(size=(samples, channels))


@pytest.mark.parametrize("seed", range(8))
def test_every_step_is_the_best_by_the_definition(seed):
    x = contributions(samples=5 + 4 * seed, channels=9, seed=seed)
    order = removal_order(x.T @ x)
    assert sorted(order) == list(range(9))
    for size in range(9):
        costs = {j: objective(x, [*order[:size], j]) for j in order[size:]}
        assert order[size] == min(costs, key=costs.get)


@pytest.mark.parametrize("seed", range(4))
def test_against_all_subsets_of_a_small_layer(seed):
    """Of all sets of one size that grow out of the last, the one taken is the least."""
    x = contributions(samples=20, channels=7, seed=seed)
    order = removal_order(x.T @ x)
    for size in range(1, 8):
        costs = {frozenset(t): objective(x, t) for t in combinations(range(7), size)}
        taken = frozenset(order[:size])
        grown = {t: cost for t, cost in costs.items() if t > frozenset(order[: size - 1])}
        assert taken == min(grown, key=grown.get)
        assert costs[taken] >= min(costs.values())
        if size == 1:
            assert taken == min(costs, key=costs.get)


@given(x=arrays(np.int64, (4, 6), elements=st.integers(-5, 5)))
def test_of_equal_channels_the_later_goes_first(x):
    """Whole numbers tie often."""
    order = removal_order((x.T @ x).astype(float))
    for size in range(6):
        costs = {j: objective(x, [*order[:size], j]) for j in order[size:]}
        assert costs[order[size]] == min(costs.values())
        assert order[size] == max(j for j in costs if costs[j] == min(costs.values()))


def test_channels_that_cancel_go_together():
    # 2, −2.5 and 1: the third alone costs 1; beside it the second costs (1 − 2.5)² = 2.25, the
    # first (1 + 2)² = 9, though it is the smaller of the two.
    x = np.array([2.0, -2.5, 1.0])
    assert removal_order(np.outer(x, x)) == [2, 1, 0]


def test_the_matrix_is_left_as_it_was():
    gram = np.diag([3.0, 1.0, 2.0])
    assert removal_order(gram) == [1, 2, 0]
    assert np.array_equal(gram, np.diag([3.0, 1.0, 2.0]))


def score(model, space, batches, **options):
    return prune_ops.score(model, space, batches, ["thinet"], **options)["thinet"]


def test_scores_of_two_channels_by_hand(two_linears):
    # Channel 0 adds 3·1·x to the output, channel 1 −1·2·x: over x = 1, 2 the squares are 45, 20.
    inputs = torch.tensor([[1.0], [2.0]])
    assert score(*two_linears, [(inputs, inputs)], loss=nn.MSELoss())["h"].tolist() == [1, 0]


def test_it_is_the_next_layer_that_counts_and_not_the_filter(two_linears):
    model, space = two_linears
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[3.0, -4.0]]))
    inputs = torch.ones(1, 1)
    assert score(model, space, [(inputs, inputs)], loss=nn.MSELoss())["h"].tolist() == [0, 1]


def test_layers_that_read_a_stream_are_summed(make_groups):
    """x = (1, 1) goes to layers of weights (3, 1) and (0, 2): 9 + 0 against 1 + 4, so 1 goes."""

    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Linear(1, 2, bias=False)
            self.left, self.right = nn.Linear(2, 1), nn.Linear(2, 1)
            weights = {self.stem: [[1.0], [1.0]], self.left: [[3.0, 1.0]], self.right: [[0.0, 2.0]]}
            with torch.no_grad():
                for layer, weight in weights.items():
                    layer.weight.copy_(torch.tensor(weight))

        def forward(self, x):
            x = self.stem(x)
            return self.left(x) + self.right(x)

    model, inputs = Fork(), torch.ones(1, 1)
    places = [("left.weight", 1, "in"), ("right.weight", 1, "in")]
    space = make_groups(("stem", 2, ("stem.weight", 0, "out"), *places))
    assert score(model, space, [(inputs, inputs)], loss=nn.MSELoss())["stem"].tolist() == [1, 0]
    with torch.no_grad():
        model.right.weight.mul_(2)  # 9 + 0 against 1 + 16
    assert score(model, space, [(inputs, inputs)], loss=nn.MSELoss())["stem"].tolist() == [0, 1]


@pytest.mark.parametrize("name", ["Residual", "Grouped", "Depthwise", "Concat", "Shared"])
def test_scores_are_ranks_and_only_the_ranks(name):
    torch.manual_seed(0)
    model = SMALL[name]()
    space = spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    batch = torch.randn(6, 3, 8, 8), torch.zeros(6, dtype=torch.long)
    for group, values in zip(space.groups, score(model, space, [batch]).values(), strict=True):
        assert sorted(values.tolist()) == list(range(group.channels))


def test_it_does_less_to_the_next_layer_than_the_largest_filters(fresh_conv_bn_conv):
    """What is left out changes the convolution's outputs less than l1's choice of as many."""
    model, space = fresh_conv_bn_conv()
    images = torch.randn(64, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    batch = images, torch.zeros(64, dtype=torch.long)
    with torch.no_grad():
        hidden = model[:3](images)

    def damage(criterion):
        scores = prune_ops.score(model, space, [batch], [criterion])[criterion]["0"]
        removed = scores.argsort()[:3]
        masked = torch.zeros_like(hidden)
        masked[:, removed] = hidden[:, removed]
        with torch.no_grad():
            return (model[3](masked) - model[3].bias.view(-1, 1, 1)).square().sum()

    assert damage("thinet") < damage("l1")


def test_a_group_that_no_layer_reads_is_named_in_one_line(make_groups):
    space = make_groups(("a", 2, ("weight", 0, "out")), ("b", 2, ("weight", 1, "in")))
    inputs = torch.ones(1, 2)
    with pytest.raises(UserError) as caught:
        score(nn.Linear(2, 2), space, [(inputs, inputs)], loss=nn.MSELoss())
    assert str(caught.value) == (
        "criterion 'thinet' needs a convolution or linear layer that reads every group, but there "
        "is none for a; use l1, fpgm, taylor_2019 or second_order"
    )


def test_contributions_that_are_not_finite_are_one_line(two_linears):
    inputs = torch.tensor([[torch.inf]])
    with pytest.raises(UserError, match="'thinet' gave nan or inf in h; check that the weights"):
        score(*two_linears, [(inputs, inputs)], loss=nn.MSELoss())
