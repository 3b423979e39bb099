"""What every proxy must do. A new one joins by one line in ``NAMES``."""

from __future__ import annotations

import copy
import dataclasses
import math
from functools import cache

import pytest
import torch
from networks import SMALL

import prune_ops
import spaces

NAMES = [
    "adaptive_bn",
    "predicted_damage",
]
NETWORKS = ("Residual", "Grouped", "Depthwise", "ScaleNorm")
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    ),
]


@cache
def unpruned(network):
    """A network that is right about all of the held-out images once its statistics are adapted."""
    torch.manual_seed(0)
    model = SMALL[network]().eval()
    space = spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    calibration = [(torch.randn(16, 3, 8, 8), torch.zeros(16).long()) for _ in range(3)]
    images = torch.randn(64, 3, 8, 8)
    outputs = adapted_outputs(model, calibration, images)
    model.head.fc.bias.data -= outputs.mean(0)  # else one class wins them all
    targets = adapted_outputs(model, calibration, images).argmax(1)
    held_out = list(zip(images.split(32), targets.split(32), strict=True))
    scores = prune_ops.score(model, space, calibration, ["second_order"])["second_order"]
    return prune_ops.Candidate(space.full, space, scores, model, calibration, held_out)


@torch.no_grad()
def adapted_outputs(model, calibration, images):
    adapted = copy.deepcopy(model).train()
    for module in adapted.modules():
        module.momentum = None
    for inputs, _ in calibration:
        adapted(inputs)
    return adapted.eval()(images)


def cut(network, budget, device="cpu"):
    full = unpruned(network)
    policy = full.space.uniform(budget)
    pruned = prune_ops.prune(full.pruned, full.space, policy, full.scores).to(device)
    moved = {
        part: [(x.to(device), y.to(device)) for x, y in getattr(full, part)]
        for part in ("calibration", "held_out")
    }
    return dataclasses.replace(full, policy=policy, pruned=pruned, **moved)


def test_every_proxy_is_named():
    assert sorted(prune_ops.PROXIES) == NAMES


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("proxy", NAMES)
def test_a_finite_float_the_same_twice(proxy, network, device):
    candidate = cut(network, 0.5, device)
    first, second = (prune_ops.PROXIES[proxy](candidate) for _ in range(2))
    assert type(first) is float
    assert math.isfinite(first)
    assert first == second


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("proxy", NAMES)
def test_higher_is_better(proxy, network):
    """Nothing removed is better than half of the network removed."""
    whole, half = unpruned(network), cut(network, 0.5)
    assert prune_ops.PROXIES[proxy](whole) > prune_ops.PROXIES[proxy](half)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("proxy", NAMES)
def test_the_candidate_is_untouched(proxy, network):
    candidate = cut(network, 0.5)
    candidate.pruned.train()
    before = {name: value.clone() for name, value in candidate.pruned.state_dict().items()}
    scores = {name: values.clone() for name, values in candidate.scores.items()}
    drawn = torch.get_rng_state()
    prune_ops.PROXIES[proxy](candidate)
    after = candidate.pruned.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(torch.equal(scores[name], candidate.scores[name]) for name in scores)
    assert all(module.training for module in candidate.pruned.modules())
    assert all(p.grad is None and p.requires_grad for p in candidate.pruned.parameters())
    assert torch.equal(torch.get_rng_state(), drawn)
