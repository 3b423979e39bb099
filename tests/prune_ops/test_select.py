"""select and prune: which channels stay, and that the network computes with them alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import prune_ops
import spaces
from spaces import Policy, UserError


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(1),
        nn.Linear(8, 5),
    ).eval()


@pytest.fixture(scope="module")
def space(model):
    return spaces.discover(model, (torch.zeros(1, 3, 8, 8),), round_to=1)


@pytest.fixture(scope="module")
def scores(space):
    assert [(group.name, group.channels) for group in space.groups] == [("0", 4), ("3", 8)]
    return {"0": torch.tensor([0.1, 0.9, 0.5, 0.9]), "3": torch.arange(8.0)}


def selected(space, scores, *widths):
    kept = prune_ops.select(space, Policy(dict(zip("03", widths, strict=True))), scores)
    return {name: indices.tolist() for name, indices in kept.items()}


def test_the_highest_stay_in_their_order(space, scores):
    assert selected(space, scores, 3, 2) == {"0": [1, 2, 3], "3": [6, 7]}


def test_ties_go_to_the_lower_index(space, scores):
    assert selected(space, scores, 1, 8) == {"0": [1], "3": list(range(8))}


def test_indices_are_int64(space, scores):
    kept = prune_ops.select(space, space.full, scores)
    assert {str(indices.dtype) for indices in kept.values()} == {"int64"}


def test_scores_of_another_model_are_refused(space, scores):
    with pytest.raises(UserError) as caught:
        prune_ops.select(space, space.full, {**scores, "0": torch.ones(6)})
    assert str(caught.value) == (
        "scores must be given for the 4 channels of group '0', but there are 6; score the model "
        "that is pruned"
    )
    with pytest.raises(UserError, match="8 channels of group '3', but there are 0"):
        prune_ops.select(space, space.full, {"0": scores["0"]})


def test_a_policy_of_another_model_is_refused(space, scores):
    with pytest.raises(UserError, match="policy"):
        prune_ops.select(space, Policy({"0": 4}), scores)
    with pytest.raises(UserError, match="5"):
        prune_ops.select(space, Policy({"0": 5, "3": 8}), scores)


def test_prune_keeps_the_selected_weights(model, space, scores):
    small = prune_ops.prune(model, space, Policy({"0": 2, "3": 3}), scores)
    assert torch.equal(small[0].weight, model[0].weight[[1, 3]])
    assert torch.equal(small[1].running_mean, model[1].running_mean[[1, 3]])
    assert torch.equal(small[3].weight, model[3].weight[5:][:, [1, 3]])
    assert torch.equal(small[7].weight, model[7].weight[:, 5:])
    assert (small[0].out_channels, small[1].num_features, small[7].in_features) == (2, 2, 3)


def test_prune_leaves_the_model_and_trains(model, space, scores):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    small = prune_ops.prune(model, space, Policy({"0": 2, "3": 3}), scores).train()
    small(torch.randn(4, 3, 8, 8)).sum().backward()
    with torch.no_grad():
        for parameter in small.parameters():
            parameter -= parameter.grad
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_full_policy_changes_nothing(model, space, scores):
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(prune_ops.prune(model, space, space.full, scores)(x), model(x))
