"""Sensitivities: damages counted by hand, and policies against every level tried in turn."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

import prune_ops
from prune_ops.sensitivities.sensitivity import AT_MOST, measured_widths, on_lattice
from spaces import Budget, UserError, discover
from spaces.groups import ChannelGroup, lattice

SENSITIVITIES = prune_ops.SENSITIVITIES
RIGHT, LOST = math.log((10 + 9 + 2) / 10), math.log(10 + 2)
"""The losses of an image whose channel is there, and of one whose channel is gone."""


@pytest.fixture(scope="module")
def relay():
    """Image j lights channel j of the first group, and of the second channels j and j + 10.

    Its class, j, gets the logit log 10 if channel j and a copy of it are there, else 0; class 10,
    which no image has, always gets log 2. So an image is right as long as its channels stay.
    """
    model = nn.Sequential(
        nn.Linear(10, 10, bias=False), nn.ReLU(), nn.Linear(10, 20, bias=False), nn.ReLU(),
        nn.Hardtanh(0, 1), nn.Linear(20, 10, bias=False), nn.Hardtanh(0, 1), nn.Linear(10, 11),
    )  # fmt: skip
    eye = torch.eye(10)
    with torch.no_grad():
        model[0].weight.copy_(eye)
        model[2].weight.copy_(torch.cat([eye, eye]))
        model[5].weight.copy_(torch.cat([eye, eye], dim=1))
        model[7].weight.copy_(torch.cat([math.log(10) * eye, torch.zeros(1, 10)]))
        model[7].bias.copy_(torch.tensor([0.0] * 10 + [math.log(2)]))
    return model, discover(model, (torch.zeros(1, 10),), round_to=1)


@pytest.fixture(scope="module")
def images():
    return [(torch.eye(10)[:6], torch.arange(6)), (torch.eye(10)[6:], torch.arange(6, 10))]


def by_index(space):
    """Scores that rank channel 0 first."""
    return {g.name: -torch.arange(g.channels, dtype=torch.float32) for g in space.groups}


def right(group, kept):
    """Which images stay right when only these channels of the group do."""
    return {channel % 10 if group == "2" else channel for channel in kept}


def measure(relay, images, *names, **options):
    model, space = relay
    return prune_ops.measure(model, space, by_index(space), images, names, **options)


def test_iso_damage_is_the_rise_of_the_loss(relay, images):
    _, space = relay
    found = measure(relay, images, "iso_damage")["iso_damage"]
    assert list(found) == [g.name for g in space.groups] == ["0", "2", "5"]
    for group in space.groups:
        widths = measured_widths(group)
        lost = [10 - len(right(group.name, range(width))) for width in widths]
        wanted = [(LOST - RIGHT) * each / 10 for each in lost]
        np.testing.assert_allclose(found[group.name].numpy(), wanted, atol=1e-6)


def test_accuracy_drop_is_the_share_of_images_lost(relay, images):
    _, space = relay
    found = measure(relay, images, "accuracy_drop")["accuracy_drop"]
    # Of the 20 channels of the second group the first ten are one copy of everything.
    assert measured_widths(space.groups[1]) == (1, 4, 6, 9, 12, 15, 17)
    np.testing.assert_allclose(found["2"].numpy(), [0.9, 0.6, 0.4, 0.1, 0, 0, 0], atol=1e-12)


def test_layer_damage_without_redundancy_is_a_half(relay, images):
    """A share p removed loses a share p of the images, whichever goes: the integral of p is 1/2."""
    found = measure(relay, images, "layer_damage")["layer_damage"]
    np.testing.assert_allclose(found["0"].numpy(), [0.9, 0.7, 0.5, 0.3, 0.1], atol=1e-12)
    assert found["0"].mean().item() == pytest.approx(0.5)


def test_layer_damage_averages_over_its_draws(relay, images):
    _, space = relay
    found = measure(relay, images, "layer_damage", seed=3)["layer_damage"]
    cuts = SENSITIVITIES["layer_damage"].ablations(space.groups[1], np.arange(20), 3)
    wanted = [np.mean([1 - len(right("2", cut.kept)) / 10 for cut in draws]) for draws in cuts]
    np.testing.assert_allclose(found["2"].numpy(), wanted, atol=1e-12)
    assert found["2"].mean() < found["0"].mean()


def test_random_cuts_hang_on_the_seed_and_grow_by_inclusion(relay):
    group = relay[1].groups[1]
    cuts = [
        SENSITIVITIES["layer_damage"].ablations(group, np.arange(20), seed) for seed in (0, 0, 1)
    ]
    assert cuts[0] == cuts[1] != cuts[2]
    for smaller, larger in zip(cuts[0], cuts[0][1:], strict=False):
        for less, more in zip(smaller, larger, strict=True):
            assert set(less.kept) < set(more.kept)


def test_what_two_sensitivities_ask_for_is_judged_once(relay, images):
    told = []
    alone = measure(relay, images, "iso_damage", done=lambda done, of: told.append((done, of)))
    count = sum(len(measured_widths(group)) for group in relay[1].groups)
    assert told == [(k + 1, count + 1) for k in range(count + 1)]
    told.clear()
    both = measure(
        relay, images, "iso_damage", "accuracy_drop", done=lambda done, of: told.append((done, of))
    )
    assert told[-1] == (count + 1, count + 1)
    assert torch.equal(both["iso_damage"]["2"], alone["iso_damage"]["2"])


def test_dropout_and_running_statistics_are_left_alone(images):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Dropout(0.9), nn.ReLU(), nn.Linear(8, 11)
    )
    space = discover(model, (torch.zeros(1, 10),))
    model.train()
    first, second = (measure((model, space), images, "iso_damage") for _ in range(2))
    assert torch.equal(first["iso_damage"]["0"], second["iso_damage"]["0"])
    assert model[1].num_batches_tracked == 0
    assert all(module.training for module in model.modules())


@given(st.integers(2, 3000), st.sampled_from([None, 1, 8]))
def test_few_widths_of_a_group_are_measured_the_narrowest_always(channels, round_to):
    group = ChannelGroup("g", channels, (), lattice(channels, round_to))
    widths = measured_widths(group)
    assert len(widths) == min(AT_MOST, len(group.choices)) - 1
    assert list(widths) == sorted(set(widths))
    assert set(widths) <= set(group.choices[:-1])
    assert widths[:1] == group.choices[:-1][:1]


@given(st.integers(2, 300), st.data())
def test_a_table_never_falls_towards_narrower_widths(channels, data):
    group = ChannelGroup("g", channels, (), lattice(channels))
    widths = measured_widths(group)
    measured = data.draw(st.lists(st.floats(-1, 9), min_size=len(widths), max_size=len(widths)))
    table = on_lattice(group, torch.tensor(measured, dtype=torch.float64))
    assert table.shape == (len(group.choices),)
    assert table[-1] == 0
    assert (np.diff(table) <= 0).all()
    for place, width in enumerate(widths):
        assert table[group.choices.index(width)] == max(*measured[place:], 0.0)


def test_between_measured_widths_lies_a_straight_line():
    group = ChannelGroup("g", 128, (), lattice(128))
    assert measured_widths(group) == (8, 24, 40, 56, 80, 96, 112)
    table = on_lattice(group, torch.tensor([1.0, 0.6, 0.6, 0.3, 0.0, 0.0, 0.0]))
    assert table[:9].tolist() == pytest.approx([1, 0.8, 0.6, 0.6, 0.6, 0.45, 0.3, 0.2, 0.1])


NARROW = discover(
    nn.Sequential(
        *(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)),
        *(nn.ReLU(), nn.Linear(4, 3)),
    ),
    (torch.zeros(1, 5),),
    round_to=1,
)
SPARE = st.lists(st.sampled_from([-0.1, 0.0, 0.1, 0.2, 0.5, 1.0]), min_size=16, max_size=16)


@pytest.mark.parametrize("name", ["iso_damage", "accuracy_drop"])
@given(SPARE, st.sampled_from(["0.25", "0.5", "0.8", "1"]))
def test_the_least_damage_that_meets_the_budget(name, values, budget):
    """Against every level that there is, one after the other."""
    parsed = Budget.parse(budget)
    limit = NARROW.limit(parsed)
    rest = iter(values)
    damages = {
        g.name: torch.tensor([next(rest) for _ in measured_widths(g)], dtype=torch.float64)
        for g in NARROW.groups
    }
    tables = [on_lattice(group, damages[group.name]) for group in NARROW.groups]
    for level in sorted({x for table in tables for x in table}):
        widths = [
            min(w for w, x in zip(g.choices, table, strict=True) if x <= level)
            for g, table in zip(NARROW.groups, tables, strict=True)
        ]
        if NARROW.flops(np.array(widths)) <= limit:
            break
    policy = SENSITIVITIES[name].policy(NARROW, damages, parsed)
    assert NARROW.flops(policy) <= limit
    assert policy == NARROW.policy(NARROW.project(np.array(widths), parsed))
    assert (NARROW.widths(policy) >= widths).all()


@given(
    # Binary fractions, so that factors at which two groups gain a channel are equal in floats too.
    st.lists(st.sampled_from([-0.125, 0.0, 0.0625, 0.125, 0.375, 0.75]), min_size=3, max_size=3),
    st.sampled_from(["0.25", "0.5", "0.8", "1"]),
)
@example([0.0625, -0.125, 0.125], "0.25")
def test_widths_in_proportion_to_layer_damage(means, budget):
    """Against every factor at which some group gains a channel, the largest first."""
    parsed = Budget.parse(budget)
    limit = NARROW.limit(parsed)
    damages = {
        g.name: torch.full((5,), m, dtype=torch.float64)
        for g, m in zip(NARROW.groups, means, strict=True)
    }
    borne = [max(Fraction(m), Fraction(0)) for m in means]
    gains = {c / (d * g.channels) for g, d in zip(NARROW.groups, borne, strict=True) if d
             for c in g.choices}  # fmt: skip
    for factor in sorted(gains | {Fraction(0)}, reverse=True):
        shares = [min(factor * d, Fraction(1)) for d in borne]
        widths = [
            max(int(share * g.channels), 1) for g, share in zip(NARROW.groups, shares, strict=True)
        ]
        if NARROW.flops(np.array(widths)) <= limit:
            break
    policy = SENSITIVITIES["layer_damage"].policy(NARROW, damages, parsed)
    assert NARROW.flops(policy) <= limit
    assert policy == NARROW.policy(NARROW.project(np.array(widths), parsed))


def test_twice_the_damage_keeps_twice_the_share():
    space = discover(
        nn.Sequential(nn.Linear(9, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 9)),
        (torch.zeros(1, 9),),
        round_to=1,
    )
    damages = {"0": torch.full((5,), 0.2), "2": torch.full((5,), 0.4)}
    policy = SENSITIVITIES["layer_damage"].policy(space, damages, Budget.parse("0.25"))
    assert policy["2"] == pytest.approx(2 * policy["0"], abs=2)  # and what still fits is added


def test_bad_input_is_one_line(relay, images):
    model, space = relay
    with pytest.raises(UserError, match="sensitivities need at least 1 image, but got none"):
        measure(relay, [], "iso_damage")
    with pytest.raises(UserError, match="unknown sensitivity 'isodamage', did you mean 'iso_"):
        measure(relay, images, "isodamage")
    with pytest.raises(UserError, match=r"scores must be given for the 10 channels of group '0'"):
        prune_ops.measure(model, space, {}, images, ["iso_damage"])
    endless = [(torch.full((2, 10), torch.inf), torch.zeros(2).long())]
    with pytest.raises(UserError, match="the loss of the network as it is must be finite, but is"):
        measure(relay, endless, "iso_damage")
