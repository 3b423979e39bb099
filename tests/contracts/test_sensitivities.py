"""What every sensitivity must do. A new one joins by one line in ``NAMES``."""

from __future__ import annotations

import copy
import itertools
from functools import cache

import numpy as np
import pytest
import torch
from devices import DEVICES
from networks import SMALL

import prune_ops
import spaces
from spaces import Budget

NAMES = [
    "accuracy_drop",
    "iso_damage",
    "layer_damage",
    "repaired_damage",
]
ABLATING = [name for name in NAMES if name != "repaired_damage"]
NETWORKS = ("Residual", "Grouped", "Depthwise", "ScaleNorm")
SENSITIVITIES = prune_ops.SENSITIVITIES


@cache
def subject(network):
    """A network, its space, scores, and images that it is right about."""
    torch.manual_seed(0)
    model = SMALL[network]().eval()
    space = spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    images = torch.randn(48, 3, 8, 8)
    with torch.no_grad():
        model.head.fc.bias -= model(images).mean(0)  # else one class wins them all
        targets = model(images).argmax(1)
    scores = prune_ops.score(model, space, (), ["l1"])["l1"]
    return model, space, scores, list(zip(images.split(32), targets.split(32), strict=True))


def measure(name, network, device="cpu", model=None):
    own, space, scores, batches = subject(network)
    model = copy.deepcopy(model or own).to(device)
    moved = [(x.to(device), y.to(device)) for x, y in batches]
    return prune_ops.measure(model, space, scores, moved, [name], seed=3)[name]


def test_every_sensitivity_is_named():
    assert sorted(SENSITIVITIES) == NAMES
    assert not SENSITIVITIES.keys() & prune_ops.CRITERIA.keys()  # --starts takes both


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_finite_damage_for_each_width_the_same_twice(name, network, device):
    space = subject(network)[1]
    first, second = (measure(name, network, device) for _ in range(2))
    assert list(first) == [group.name for group in space.groups]
    for group in space.groups:
        damages, widths = first[group.name], SENSITIVITIES[name].widths(group)
        assert damages.shape == (len(widths),)
        assert (damages.dtype, damages.device.type) == (torch.float64, "cpu")
        assert damages.isfinite().all()
        assert torch.equal(damages, second[group.name])
        assert widths == tuple(sorted(widths))
        assert 1 <= widths[0] <= widths[-1] < group.channels
    assert sum(damages.sum() for damages in first.values()) > 0


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ABLATING)
def test_what_is_judged_has_the_widths_it_says(name, network):
    _, space, scores, _ = subject(network)
    for group in space.groups:
        ranking = np.argsort(-scores[group.name].numpy())
        cuts = SENSITIVITIES[name].ablations(group, ranking, 0)
        assert [{len(cut.kept) for cut in draws} for draws in cuts] == [
            {width} for width in SENSITIVITIES[name].widths(group)
        ]
        for cut in itertools.chain(*cuts):
            assert cut.group == group.name
            assert list(cut.kept) == sorted(set(cut.kept))
            assert set(cut.kept) <= set(range(group.channels))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_group_that_nobody_reads_bears_everything(name, network):
    model, space = copy.deepcopy(subject(network)[0]), subject(network)[1]
    group = space.groups[-1]
    parameters = dict(model.named_parameters())
    for member in group.members:
        if member.kind == "in":
            positions = torch.from_numpy(member.index.ravel())
            parameters[member.parameter].data.index_fill_(member.dim, positions, 0)
    damages = measure(name, network, model=model)[group.name]
    np.testing.assert_allclose(damages.numpy(), 0, atol=1e-6)


@pytest.mark.parametrize("budget", ["0.4", "0.7", "1"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", NAMES)
def test_its_policy_spends_the_budget(name, network, budget):
    space = subject(network)[1]
    limit = space.limit(budget)
    policy = SENSITIVITIES[name].policy(space, measured(name, network), Budget.parse(budget))
    widths = space.widths(policy)
    assert space.flops(policy) <= limit
    assert all(policy[group.name] in group.choices for group in space.groups)
    grown = widths + np.diag(space.lattice.step_up(widths))
    assert all(space.flops(w) > limit for w in grown if (w > widths).any())


@cache
def measured(name, network):
    return measure(name, network)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_untouched(name, network):
    own, space, scores, batches = subject(network)
    model = copy.deepcopy(own).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    drawn = torch.get_rng_state()
    prune_ops.measure(model, space, scores, batches, [name])
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(module.training for module in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), drawn)
