"""Network slimming end to end: sparse training, then one threshold over all scales."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import prune_ops
from search import data, models
from search.policies.starts import global_ranking
from search.training.loop import Recipe, evaluate, train
from spaces import Budget, Policy, Space

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Slimmed:
    """A trained network, its channels by ``bn_scale``, and its accuracy."""

    model: nn.Module
    scores: dict[str, Tensor]
    accuracy: float

    @property
    def scales(self) -> Tensor:
        return torch.cat(list(self.scores.values()))


def trained(space: Space, sparsity: float) -> Slimmed:
    """digits_cnn after nine epochs; so few steps take a larger lambda than the paper's."""
    torch.manual_seed(0)
    model = models.build("digits_cnn", classes=10, in_channels=1)
    digits = data.load("digits", device=CPU)
    recipe = Recipe(lr=0.1, batch_size=32, sparsity=sparsity)
    train(model, digits.train, recipe, epochs=9, seed=0, device=CPU)
    scores = prune_ops.score(model, space, (), ["bn_scale"])["bn_scale"]
    return Slimmed(model, scores, evaluate(model, digits.test))


@pytest.fixture(scope="module")
def sparse(space: Space) -> Slimmed:
    return trained(space, 0.02)


def spread(space: Space, policy: Policy) -> float:
    """How unequal the shares are that layers keep."""
    shares = [policy[group.name] / group.channels for group in space.groups]
    return max(shares) - min(shares)


def test_sparse_training_silences_many_channels_and_learns_all_the_same(
    space: Space, sparse: Slimmed
) -> None:
    dense = trained(space, 0.0)
    assert (dense.scales < 0.1).sum() == 0
    assert (sparse.scales < 0.1).float().mean() > 0.3
    assert sparse.accuracy > 0.9


@pytest.mark.parametrize("budget", ["0.5", "0.3"])
def test_one_threshold_gives_unequal_widths_and_empties_no_layer(
    space: Space, sparse: Slimmed, budget: str
) -> None:
    policy = global_ranking(space, sparse.scores, Budget.parse(budget), "bn_scale")
    assert spread(space, policy) > 0.3 > spread(space, space.uniform(budget))
    assert all(policy[group.name] >= group.choices[0] for group in space.groups)
    assert space.flops(policy) <= space.limit(budget)
    small = prune_ops.prune(sparse.model, space, policy, sparse.scores)
    assert small(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@given(
    silent=st.sets(st.integers(0, 5)),
    budget=st.sampled_from(["0.7", "0.5", "0.3"]),
    seed=st.integers(0, 99),
)
def test_a_layer_whose_scales_are_all_zero_keeps_its_least_width(
    space: Space, silent: set[int], budget: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = {
        group.name: torch.rand(group.channels, generator=generator) * (position not in silent)
        for position, group in enumerate(space.groups)
    }
    policy = global_ranking(space, scores, Budget.parse(budget), "bn_scale")
    assert all(policy[group.name] in group.choices for group in space.groups)
    assert space.flops(policy) <= space.limit(budget)
