"""Greedy norms: the kernels of input channels that are pruned already do not count."""

from __future__ import annotations

import copy
import io
import pickle
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL
from torch import nn

import prune_ops
import spaces
from prune_ops import GreedyScores
from spaces import Policy

NAMES = {"l1_greedy": "l1", "l2_greedy": "l2"}
NETWORKS = (
    "Plain",
    "Residual",
    "Grouped",
    "Depthwise",
    "Transposed",
    "Concat",
    "Shuffle",
    "Shared",
)


@pytest.fixture(scope="module")
def chain():
    """1 → 2 → 2 → 1. Of layer 1 the first filter is longer, without its first input the second."""
    model = nn.Sequential(*(nn.Linear(i, o, bias=False) for i, o in ((1, 2), (2, 2), (2, 1))))
    weights = ([[1.0], [3.0]], [[5.0, 1.0], [2.0, 3.0]], [[1.0, 1.0]])
    with torch.no_grad():
        for layer, weight in zip(model, weights, strict=True):
            layer.weight.copy_(torch.tensor(weight))
    return model, spaces.discover(model, (torch.zeros(1, 1),), round_to=1)


@cache
def discovered(network):
    torch.manual_seed(0)
    model = SMALL[network]()
    return model, spaces.discover(model, (torch.zeros(1, 3, 8, 8),))


def score(criterion, model, space):
    return prune_ops.score(model, space, (), [criterion])[criterion]


def test_l1_by_hand(chain):
    scores = score("l1_greedy", *chain)
    assert {name: values.tolist() for name, values in scores.items()} == {"0": [1, 3], "1": [6, 5]}
    assert scores.given("1", {"0": np.array([1])}).tolist() == [1, 3]
    assert scores.given("1", {"0": np.array([0])}).tolist() == [5, 2]
    assert scores.given("0", {}).tolist() == [1, 3]


def test_l2_by_hand(chain):
    scores = score("l2_greedy", *chain)
    torch.testing.assert_close(scores["1"], torch.tensor([26.0, 13.0]).sqrt())
    assert scores.given("1", {"0": np.array([1])}).tolist() == [1, 9]  # squares


@pytest.mark.parametrize("criterion", NAMES)
def test_select_ranks_by_what_is_left(chain, criterion):
    model, space = chain
    narrow = Policy({"0": 1, "1": 1})
    greedy = prune_ops.select(space, narrow, score(criterion, model, space))
    independent = prune_ops.select(space, narrow, score(NAMES[criterion], model, space))
    assert {name: kept.tolist() for name, kept in greedy.items()} == {"0": [1], "1": [1]}
    assert {name: kept.tolist() for name, kept in independent.items()} == {"0": [1], "1": [0]}
    small = prune_ops.prune(model, space, narrow, score(criterion, model, space))
    assert [layer.weight.tolist() for layer in small] == [[[3]], [[3]], [[1]]]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("criterion", NAMES)
def test_with_nothing_removed_it_is_the_independent_norm(criterion, network):
    model, space = discovered(network)
    scores, independent = (score(name, model, space) for name in (criterion, NAMES[criterion]))
    for group in space.groups:
        assert torch.equal(scores[group.name], independent[group.name])
        whole = {other.name: np.arange(other.channels) for other in space.groups}
        for kept in ({}, whole):
            left = scores.given(group.name, kept)
            norm = left.sqrt() if criterion == "l2_greedy" else left
            torch.testing.assert_close(norm, independent[group.name])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("criterion", NAMES)
def test_it_is_the_independent_norm_of_a_network_whose_pruned_inputs_are_zero(criterion, network):
    """Group after group by the independent criterion, blanking what later layers would read."""
    model, space = discovered(network)
    policy = space.uniform(0.4)
    found = prune_ops.select(space, policy, score(criterion, model, space))
    blanked = copy.deepcopy(model)
    parameters = dict(blanked.named_parameters(remove_duplicate=False))
    for group in space.groups:
        left = score(NAMES[criterion], blanked, space)[group.name].numpy()
        wanted = np.sort(np.argsort(-left, kind="stable")[: policy[group.name]])
        assert found[group.name].tolist() == wanted.tolist()
        removed = np.setdiff1d(np.arange(group.channels), wanted)
        for member in (m for m in group.members if m.kind == "in"):
            places = torch.from_numpy(member.index[removed].ravel())
            parameters[member.parameter].detach().index_fill_(member.dim, places, 0)


def top(norms, width):
    return torch.sort(norms.argsort(descending=True, stable=True)[:width]).values


def l1(weight):
    return weight.detach().abs().sum(tuple(range(1, weight.ndim)))


class VGG(nn.Module):
    """Three convolutions, a linear layer on the flattened map, a classifier."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3) for i, o in ((3, 6), (6, 8), (8, 5)))
        self.hidden, self.head = nn.Linear(5 * 2 * 2, 7), nn.Linear(7, 3)

    def forward(self, x):
        for conv in self.convs:
            x = conv(x).relu()
        return self.head(self.hidden(x.flatten(1)).relu())


@cache
def vgg():
    torch.manual_seed(1)
    model = VGG()
    return model, spaces.discover(model, (torch.zeros(1, 3, 8, 8),), round_to=1)


@settings(deadline=None, max_examples=30)
@given(widths=st.tuples(*(st.integers(1, top) for top in (6, 8, 5, 7))))
def test_a_plain_network_against_a_loop_over_its_layers(widths):
    model, space = vgg()
    inputs, wanted = torch.arange(3), []
    for conv, width in zip(model.convs, widths, strict=False):
        wanted.append(inputs := top(l1(conv.weight[:, inputs]), width))
    maps = model.hidden.weight.view(7, 5, 4)  # four positions of each channel
    wanted.append(top(l1(maps[:, inputs]), widths[3]))
    policy = space.policy(np.array(widths))
    found = prune_ops.select(space, policy, score("l1_greedy", model, space))
    assert [kept.tolist() for kept in found.values()] == [kept.tolist() for kept in wanted]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_a_residual_network_against_a_loop_over_its_layers(share):
    """The stream is ranked at the stem, before the layer between that feeds its second filter."""
    model, space = discovered("Residual")
    policy = space.uniform(share)
    stem, conv1 = model.stem[0].weight, model.conv1[0].weight
    stream = top(l1(stem) + l1(model.conv2.weight), policy["stem.0"])
    middle = top(l1(conv1[:, stream]), policy["conv1.0"])
    found = prune_ops.select(space, policy, score("l1_greedy", model, space))
    assert {name: kept.tolist() for name, kept in found.items()} == {
        "stem.0": stream.tolist(),
        "conv1.0": middle.tolist(),
    }


def through_torch(scores):
    buffer = io.BytesIO()
    torch.save({"l1_greedy": scores}, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)["l1_greedy"]


@pytest.mark.parametrize(
    "pass_on",
    [prune_ops.normalised, through_torch, lambda scores: pickle.loads(pickle.dumps(scores))],
    ids=["normalised", "stored", "sent"],
)
def test_it_stays_greedy_wherever_it_goes(chain, pass_on):
    model, space = chain
    scores = score("l1_greedy", model, space)
    passed = pass_on(scores)
    assert isinstance(passed, GreedyScores)
    assert passed.given("1", {"0": np.array([1])}).tolist() == [1, 3]
    shares = prune_ops.normalised(passed)["1"].tolist()
    assert shares == prune_ops.normalised(score("l1", model, space))["1"].tolist()


def test_predicted_damage_is_of_what_the_greedy_choice_removes(chain):
    # Layer 0 loses 1, layer 1 its first filter, 6 with nothing pruned.
    model, space = chain
    scores, policy = score("l1_greedy", model, space), Policy({"0": 1, "1": 1})
    candidate = prune_ops.PrunedCandidate(policy, space, scores, model, [], [])
    assert prune_ops.PROXIES["predicted_damage"](candidate) == -7
