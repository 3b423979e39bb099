"""What every proxy must do. A new one joins by one line in ``LINES``."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from devices import DEVICES
from looking import look_at
from networks import SMALL

import prune_ops
import spaces


@dataclass(frozen=True)
class Line:
    """``falls``: by its definition it is lower when half of a network is removed."""

    falls: bool = True


LINES = {
    "adaptive_bn": Line(),  # the unpruned network here is always right
    "fisher": Line(falls=False),
    "grasp": Line(falls=False),
    "iso_damage": Line(falls=False),  # cuts of an untrained network may do no damage
    "jacob_cov": Line(falls=False),
    "params": Line(),
    "predicted_damage": Line(),
    "reconstructed": Line(falls=False),  # the unpruned network is right only once adapted
    "snip": Line(falls=False),
    "synflow": Line(),
    "zico": Line(falls=False),
}
NETWORKS = ("Residual", "Grouped", "Depthwise", "ScaleNorm")


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
    own = [(x, model(x).argmax(1)) for x, _ in held_out]
    damages = prune_ops.measure(model, space, scores, own, ["iso_damage"])["iso_damage"]
    return prune_ops.PrunedCandidate(
        *(space.full, space, scores, model, calibration, held_out, damages), model=model
    )


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
    model = copy.deepcopy(full.pruned).to(device)
    return dataclasses.replace(full, policy=policy, pruned=pruned, model=model, **moved)


def test_every_proxy_has_a_line():
    assert sorted(prune_ops.PROXIES) == sorted(LINES)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("proxy", LINES)
def test_a_finite_float_the_same_twice(proxy, network, device):
    candidate = cut(network, 0.5, device)
    again = dataclasses.replace(candidate)  # which has kept nothing of the first
    first, second = (prune_ops.PROXIES[proxy](each) for each in (candidate, again))
    assert type(first) is float
    assert math.isfinite(first)
    assert first == second


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("proxy", [name for name, line in LINES.items() if line.falls])
def test_higher_is_better(proxy, network):
    """Nothing removed is better than half of the network removed."""
    whole, half = unpruned(network), cut(network, 0.5)
    assert prune_ops.PROXIES[proxy](whole) > prune_ops.PROXIES[proxy](half)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("proxy", LINES)
def test_the_candidate_is_untouched(proxy, network):
    candidate = cut(network, 0.5)
    candidate.pruned.train()
    first = next(candidate.pruned.parameters())
    first.grad = torch.ones_like(first)
    first.requires_grad_(False)
    before, drawn = looked_at(candidate), torch.get_rng_state()
    prune_ops.PROXIES[proxy](candidate)
    assert looked_at(candidate) == before
    assert torch.equal(torch.get_rng_state(), drawn)


def looked_at(candidate):
    """The pruned model, and all that is judged by."""
    return {
        "models": [look_at(candidate.pruned), look_at(candidate.model)],
        "scores": {name: values.tolist() for name, values in candidate.scores.items()},
        "images": [
            (x.tolist(), x.requires_grad, y.tolist())
            for x, y in [*candidate.calibration, *candidate.held_out]
        ],
    }
