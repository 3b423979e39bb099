"""What every criterion must do. A new one joins by one line in ``LINES``."""

from __future__ import annotations

import copy
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
    """``refuses``: networks it cannot judge, and must say so. ``blind``: it looks at nothing."""

    refuses: tuple[str, ...] = ()
    blind: bool = False


LINES = {
    "apoz": Line(refuses=("Depthwise", "ScaleNorm", "Shared")),
    "bn_scale": Line(refuses=("Depthwise", "ScaleNorm", "Shared", "Transposed")),
    "fpgm": Line(),
    "hrank": Line(refuses=("Depthwise", "ScaleNorm", "Shared")),
    "l1": Line(),
    "l1_greedy": Line(),
    "l2": Line(),
    "l2_greedy": Line(),
    "lasso": Line(),
    "obs": Line(),
    "random": Line(blind=True),
    "second_order": Line(),
    "second_order_hutchinson": Line(),
    "taylor_2016": Line(refuses=("Depthwise", "ScaleNorm", "Shared")),
    "taylor_2019": Line(),
    "thinet": Line(),
    "weight_sum": Line(),
}
NETWORKS = ("Residual", "Grouped", "Shared", "Depthwise", "Separable", "Transposed", "ScaleNorm")
PAIRS = [(c, n) for c in LINES for n in NETWORKS if n not in LINES[c].refuses]
SIGHTED = [(c, n) for c, n in PAIRS if not LINES[c].blind]


@cache
def discovered(network):
    torch.manual_seed(0)
    model = SMALL[network]()
    return model, spaces.discover(model, (torch.zeros(1, 3, 8, 8),))


def batches(device="cpu"):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(7, 3, 8, 8, generator=generator).to(device)
    targets = torch.randint(10, (7,), generator=generator).to(device)
    return list(zip(inputs.split(4), targets.split(4), strict=True))


def score(criterion, model, space, device="cpu"):
    return prune_ops.score(model, space, batches(device), [criterion], seed=3)[criterion]


def test_every_criterion_has_a_line():
    assert sorted(LINES) == sorted(prune_ops.CRITERIA)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("criterion", "network"), PAIRS)
def test_one_finite_float32_on_the_cpu_for_every_channel(criterion, network, device):
    model, space = discovered(network)
    scores = score(criterion, copy.deepcopy(model).to(device), space, device)
    assert list(scores) == [group.name for group in space.groups]
    for group in space.groups:
        values = scores[group.name]
        assert values.shape == (group.channels,)
        assert (values.dtype, values.device.type) == (torch.float32, "cpu")
        assert values.isfinite().all()
        assert not values.requires_grad


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("criterion", "network"), PAIRS)
def test_the_same_value_twice(criterion, network, device):
    model, space = discovered(network)
    model = copy.deepcopy(model).to(device)
    first, second = (score(criterion, model, space, device) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("criterion", "network"), SIGHTED)
def test_higher_is_keep(criterion, network):
    """A channel whose weights are all zero is the first to go, whatever the criterion looks at."""
    model, space = discovered(network)
    model, dead = copy.deepcopy(model), 3
    with torch.no_grad():
        for group in space.groups:
            silence(model, group, dead)
    for name, values in score(criterion, model, space).items():
        assert values[dead] == values.min() < values.max(), name


def silence(model, group, channel):
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for member in group.members:
        if member.parameter in parameters:
            positions = torch.from_numpy(member.index[channel])
            parameters[member.parameter].index_fill_(member.dim, positions, 0)


@pytest.mark.parametrize(("criterion", "network"), PAIRS)
def test_the_model_is_untouched(criterion, network):
    model, space = discovered(network)
    model = copy.deepcopy(model).train()
    first = next(model.parameters())
    first.grad = torch.ones_like(first)
    first.requires_grad_(False)
    before, drawn = look_at(model), torch.get_rng_state()
    score(criterion, model, space)
    assert look_at(model) == before
    assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize(
    ("criterion", "network"), [(c, n) for c, line in LINES.items() for n in line.refuses]
)
def test_what_it_cannot_judge_it_refuses_in_one_line(criterion, network):
    with pytest.raises(spaces.UserError, match=f"criterion '{criterion}' needs") as caught:
        score(criterion, *discovered(network))
    assert "\n" not in str(caught.value)
