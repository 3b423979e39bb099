"""Budgets and the projection onto them, as properties over random networks and proposals."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import SMALL, Plain

import spaces
from spaces.budget import Budget
from spaces.cost import Polynomial
from spaces.limits import Limit
from spaces.projection import Lattice, project


@pytest.mark.parametrize(
    ("text", "limit"),
    [("0.5", 500), (0.25, 250), ("1", 1000), ("60", None), ("0.1K", 100), ("5e-1", 500)],
)
def test_parse(text, limit):
    if limit is None:
        with pytest.raises(spaces.BudgetError):
            Budget.parse(text)
    else:
        assert Budget.parse(text).limit(1000) == limit


@pytest.mark.parametrize("bad", ["half", "0", "-0.5", "1.5", 2, "nan", "inf", "", "0.5.1", "60X"])
def test_what_is_no_budget_is_named(bad):
    with pytest.raises(spaces.BudgetError, match="fraction in \\(0, 1\\] or absolute") as caught:
        Budget.parse(bad)
    assert repr(bad) in str(caught.value)


@pytest.mark.parametrize("text", ["0.5", "60M", "1.2G", "0.333"])
def test_text_round_trip(text):
    assert str(Budget.parse(text)) == text
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


@st.composite
def problems(draw):
    """A random quadratic cost with a random lattice, a proposal and a reachable limit."""
    count = draw(st.integers(1, 8))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    square = np.triu(rng.integers(0, 50, (count, count)) * (rng.random((count, count)) < 0.4))
    flops = Polynomial(
        float(rng.integers(0, 1000)), rng.integers(1, 100, count) * 1.0, square * 1.0
    )
    top = rng.integers(2, 100, count).astype(float)
    choices = [_choices(int(t), rng) for t in top]
    proposal = rng.uniform(0.01, 1.5, count) * top
    lattice = Lattice.of(choices)
    floor, full = int(flops(lattice.low)), int(flops(top))
    limit = floor + int(draw(st.floats(0, 1.1)) * (full - floor))
    return proposal, limit, flops, lattice, choices


def _choices(top, rng):
    """Evenly spaced widths from anywhere below ``top``, and ``top``, which need not be in line."""
    low, step = int(rng.integers(1, top)), int(rng.integers(1, max(2, top // 2)))
    return [*range(low, top, step), top]


@given(problems())
def test_projection_meets_the_budget_and_no_step_more_would(problem):
    proposal, limit, flops, lattice, choices = problem
    widths = project(proposal, [Limit(flops, limit)], lattice)
    assert flops(widths) <= limit
    for g, own in enumerate(choices):
        place = own.index(widths[g])
        if place < len(own) - 1:
            more = widths.astype(float)
            more[g] = own[place + 1]
            assert flops(more) > limit


@given(problems())
def test_the_floor_is_the_widest_choice_not_above(problem):
    proposal, _, _, lattice, choices = problem
    wanted = [
        max((c for c in own if c <= p), default=own[0])
        for own, p in zip(choices, proposal, strict=True)
    ]
    assert lattice.floor(proposal).tolist() == wanted


@given(problems())
def test_projection_is_idempotent(problem):
    proposal, limit, flops, lattice, _ = problem
    once = project(proposal, [Limit(flops, limit)], lattice)
    assert project(once, [Limit(flops, limit)], lattice).tolist() == once.tolist()


@given(problems())
def test_a_proposal_within_the_budget_is_only_added_to(problem):
    proposal, limit, flops, lattice, _ = problem
    floor = lattice.floor(np.minimum(proposal, lattice.top))
    if flops(floor) <= limit:
        assert (project(proposal, [Limit(flops, limit)], lattice) >= floor).all()


def test_a_proposal_keeps_its_proportions():
    flops = Polynomial(0.0, np.ones(2), np.zeros((2, 2)))
    lattice, limits = Lattice.of([range(1, 101)] * 2), [Limit(flops, 40)]
    assert project(np.array([60.0, 20.0]), limits, lattice).tolist() == [30, 10]
    assert project(np.array([6.0, 2.0]), limits, lattice).tolist() == [30, 10]


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    return {n: spaces.discover(c(), (torch.zeros(1, 3, 8, 8),)) for n, c in SMALL.items()}


@given(
    name=st.sampled_from(sorted(SMALL)),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_network_meets_every_reachable_budget(found, name, share, seed):
    space = found[name]
    fraction = max(space.floor_flops / space.full_flops, 1e-3)
    budget = min(1.0, fraction + share * (1 - fraction) + 1e-6)
    rng = np.random.default_rng(seed)
    widths = space.project(rng.uniform(0.1, space.lattice.top), budget)
    limit = budget * space.full_flops
    assert space.flops(widths) <= limit
    policy = space.policy(widths)
    assert all(policy[g.name] in g.choices for g in space.groups)
    below = [g for g in range(len(widths)) if widths[g] < space.groups[g].channels]
    for g in below:
        more = widths.copy()
        more[g] = min(c for c in space.groups[g].choices if c > widths[g])
        assert space.flops(more) > limit


def test_an_unreachable_budget_says_the_range_and_what_sets_the_floor():
    space = spaces.discover(Plain(), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(spaces.BudgetError) as caught:
        space.project(space.full, 0.001)
    floor = space.floor_flops / space.full_flops
    assert f"between {floor:.3f} and 1" in str(caught.value)
    assert "a.0" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_uniform_at_one_is_the_full_network():
    space = spaces.discover(Plain(), (torch.zeros(1, 3, 8, 8),))
    assert space.uniform(1) == space.full
    with pytest.raises(spaces.BudgetError, match="flops of the unpruned network"):
        space.uniform("1T")
