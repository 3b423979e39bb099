"""What every surgery must do. A new one joins by one line in ``LINES``."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from devices import DEVICES
from looking import look_at
from networks import SMALL
from oracles import randomise

import prune_ops
import spaces
from prune_ops.surgery.pruning import operate, step


@dataclass(frozen=True)
class Line:
    """``spares``: networks in which there is nothing that it could do better than plain."""

    spares: tuple[str, ...] = ()


LINES = {
    "fold_beta": Line(spares=("ScaleNorm",)),
    "plain": Line(spares=tuple(SMALL)),
    "reconstruct": Line(),
    "compensate": Line(),
    "scale": Line(),
}
NETWORKS = ("Residual", "Grouped", "Depthwise", "Transposed", "Shared", "Concat", "ScaleNorm")
PAIRS = [(s, n) for s in LINES for n in NETWORKS]


@cache
def discovered(network):
    torch.manual_seed(0)
    model = SMALL[network]()
    randomise(model)
    return model, spaces.discover(model, (torch.zeros(1, 3, 8, 8),))


def batches(device="cpu"):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(7, 3, 8, 8, generator=generator).to(device)
    targets = torch.randint(10, (7,), generator=generator).to(device)
    return list(zip(inputs.split(4), targets.split(4), strict=True))


def operated(surgery, model, space, device="cpu", policy=None):
    generator = torch.Generator().manual_seed(2)
    scores = {g.name: torch.rand(g.channels, generator=generator) for g in space.groups}
    policy = policy or space.policy(space.lattice.top / 2)
    return prune_ops.prune(model, space, policy, scores, surgery, batches(device))


def state(model):
    return {name: value.cpu() for name, value in model.state_dict().items()}


def test_every_surgery_has_a_line():
    assert sorted(LINES) == sorted(prune_ops.SURGERIES)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("surgery", "network"), PAIRS)
def test_names_and_shapes_are_those_of_the_plain_cut_and_values_are_finite(
    surgery, network, device
):
    model, space = discovered(network)
    model = copy.deepcopy(model).to(device)
    small = operated(surgery, model, space, device)
    plain = operated("plain", model, space, device)
    shapes = [{n: (v.shape, v.dtype) for n, v in state(m).items()} for m in (small, plain)]
    assert shapes[0] == shapes[1]
    assert all(value.isfinite().all() for value in state(small).values())
    parameters = [[(n, p.requires_grad) for n, p in m.named_parameters()] for m in (small, plain)]
    assert parameters[0] == parameters[1]
    assert all(tensor.device.type == device for tensor in small.state_dict().values())


@pytest.mark.parametrize("broken", ["images", "weights"])
@pytest.mark.parametrize("surgery", [n for n, s in prune_ops.SURGERIES.items() if s.needs_images])
def test_what_is_not_finite_is_one_line(surgery, broken):
    model, space = discovered("Plain")
    model, images = copy.deepcopy(model), batches()
    with torch.no_grad():
        (model.a[0].weight if broken == "weights" else images[0][0])[0] = math.nan
    selection = {g.name: np.arange(g.channels // 2) for g in space.groups}
    with pytest.raises(spaces.UserError, match="weights and the calibration images") as caught:
        operate(model, space.groups, selection, surgery, images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("surgery", "network"), PAIRS)
def test_it_does_something_where_it_can(surgery, network):
    """A surgery that did nothing would pass all the rest."""
    model, space = discovered(network)
    small, plain = (state(operated(s, model, space)) for s in (surgery, "plain"))
    changed = any(not torch.equal(small[name], plain[name]) for name in plain)
    assert changed != (network in LINES[surgery].spares)


@pytest.mark.parametrize(("surgery", "network"), PAIRS)
def test_a_fresh_unpruned_model_takes_its_state(surgery, network):
    model, space = discovered(network)
    small = operated(surgery, model, space).eval()
    fresh = SMALL[network]().eval()
    spaces.fit_to_state(fresh, small.state_dict())
    inputs = batches()[0][0]
    torch.testing.assert_close(fresh(inputs), small(inputs), rtol=0, atol=0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("surgery", "network"), PAIRS)
def test_the_same_twice(surgery, network, device):
    model, space = discovered(network)
    model = copy.deepcopy(model).to(device)
    first, second = (state(operated(surgery, model, space, device)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("surgery", "network"), PAIRS)
def test_prepared_once_it_cuts_every_policy_as_if_it_were_the_first(surgery, network):
    model, space = discovered(network)
    generator = torch.Generator().manual_seed(2)
    scores = {g.name: torch.rand(g.channels, generator=generator) for g in space.groups}
    half, most = (space.policy(space.lattice.top * part) for part in (0.5, 0.8))
    prepared = prune_ops.pruner(model, space, surgery, iter(batches()))
    for policy in (half, most, space.full, half):
        small, wanted = prepared(policy, scores), operated(surgery, model, space, policy=policy)
        assert all(torch.equal(value, state(wanted)[n]) for n, value in state(small).items())
        with torch.no_grad():
            for tensor in (*small.parameters(), *small.buffers()):
                tensor.zero_()


@pytest.mark.parametrize("surgery", sorted(LINES))
def test_another_network_is_refused_before_anything_is_measured(surgery):
    space = discovered("Residual")[1]
    with pytest.raises(spaces.ModelError, match="must be the one that the space was discovered"):
        prune_ops.pruner(SMALL["Plain"](), space, surgery, batches())


@pytest.mark.parametrize(("surgery", "network"), PAIRS)
def test_nothing_removed_is_nothing_changed(surgery, network):
    model, space = discovered(network)
    small = operated(surgery, model, space, policy=space.full)
    assert all(torch.equal(value, small.state_dict()[n]) for n, value in state(model).items())


@pytest.mark.parametrize(("surgery", "network"), PAIRS)
def test_the_model_is_untouched_and_shares_nothing(surgery, network):
    model, space = discovered(network)
    model = copy.deepcopy(model).train()
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    next(model.parameters()).requires_grad_(False)
    before, drawn = look_at(model), torch.get_rng_state()
    small = operated(surgery, model, space)
    assert all(module.training for module in small.modules())
    with torch.no_grad():
        for tensor in (*small.parameters(), *small.buffers()):
            tensor.zero_()
    assert look_at(model) == before
    assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize(("surgery", "network"), PAIRS)
def test_one_group_after_another_gives_the_shapes_of_all_at_once(surgery, network):
    model, space = discovered(network)
    rng = np.random.default_rng(0)
    halves = {g.name: np.sort(rng.permutation(g.channels)[: g.choices[0]]) for g in space.groups}
    whole = operate(model, space.groups, halves, surgery, batches())
    part, groups = model, space.groups
    for name, keep in halves.items():
        part, groups = step(part, groups, {name: keep}, surgery, batches())
    shapes = [{n: v.shape for n, v in state(m).items()} for m in (part, whole)]
    assert shapes[0] == shapes[1]
    assert [(g.name, g.channels) for g in groups] == [(n, len(keep)) for n, keep in halves.items()]
    if surgery == "plain":
        assert all(torch.equal(value, state(part)[name]) for name, value in state(whole).items())


@pytest.mark.parametrize("surgery", sorted(set(LINES) - {"plain"}))
@pytest.mark.parametrize("given", [[], [(torch.zeros(0, 3, 8, 8), torch.zeros(0))]])
def test_no_images_are_refused_in_one_line(surgery, given):
    model, space = discovered("Residual")
    scores = {g.name: torch.ones(g.channels) for g in space.groups}
    with pytest.raises(spaces.UserError) as caught:
        prune_ops.prune(model, space, space.full, scores, surgery, given)
    assert str(caught.value) == (
        f"surgery '{surgery}' needs at least 1 calibration image, but got none; give batches or "
        "use plain"
    )


def test_an_unknown_surgery_is_refused_with_those_there_are():
    model, space = discovered("Residual")
    scores = {g.name: torch.ones(g.channels) for g in space.groups}
    with pytest.raises(spaces.UserError, match="unknown surgery 'folding', did you mean"):
        prune_ops.prune(model, space, space.full, scores, "folding", batches())
