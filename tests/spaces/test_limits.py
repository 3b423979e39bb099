"""Several limits at once: projected, uniform and solved widths keep each of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL

import spaces
from spaces.budget import Budget
from spaces.cost import Polynomial
from spaces.groups import lattice
from spaces.widths import WidthGroup, WidthSpace


@pytest.mark.parametrize(
    ("text", "cost", "limit", "shown"),
    [
        ("params=0.5", "params", 500, "params=0.5"),
        ("params=0.6K", "params", 600, "params=0.6K"),
        ("PARAMS = 0.5", None, None, ""),
        ("flops=0.25", "flops", 250, "0.25"),
        ("0.6K", "flops", 600, "0.6K"),
        ("12ms", "latency", 12_000_000, "12ms"),
        ("latency=0.012s", "latency", 12_000_000, "12ms"),
        ("latency=0.5", "latency", 500, "latency=0.5"),
        ("memory=8MB", "memory", 8_000_000, "8MB"),
        ("memory=0.5", "memory", 500, "memory=0.5"),
    ],
)
def test_a_limit_names_its_cost_or_its_unit_does(text, cost, limit, shown) -> None:
    if cost is None:
        with pytest.raises(spaces.BudgetError):
            Budget.parse(text)
        return
    parsed = Budget.parse(text)
    assert (parsed.cost, parsed.limit(1000), str(parsed)) == (cost, limit, shown)
    assert Budget.parse(shown) == parsed


@pytest.mark.parametrize("text", ["params=12ms", "latency=3M", "params=2", "latency=0", "8XB"])
def test_an_amount_of_another_cost_is_refused(text) -> None:
    with pytest.raises(spaces.BudgetError, match="must be a fraction in"):
        Budget.parse(text)


def test_an_unknown_cost_is_refused_with_the_nearest() -> None:
    with pytest.raises(spaces.UserError, match="unknown cost 'parms', did you mean 'params'"):
        Budget.parse("parms=0.5")


def by_hand() -> WidthSpace:
    """conv 3→a, 3×3 on 4×4 pixels; conv a→b, 1×1; linear b→10, with biases."""
    groups = (WidthGroup("a", (2, 4, 6, 8)), WidthGroup("b", (2, 4, 6, 8)))
    square = np.array([[0.0, 16.0], [0.0, 0.0]])
    flops = Polynomial(0.0, np.array([27 * 16.0, 10.0]), square)
    params = Polynomial(10.0, np.array([28.0, 1.0 + 10.0]), square / 16)
    return WidthSpace(groups, flops, params)


def test_each_limit_is_kept_by_hand() -> None:
    space = by_hand()
    assert space.flops(space.full) == 8 * 27 * 16 + 8 * 8 * 16 + 80
    assert space.params(space.full) == 8 * 28 + 64 + 8 + 90
    assert space.uniform(0.6) == {"a": 4, "b": 8}
    limited = space.limited(["params=0.5"])  # 193; (4, 4) has 182, (4, 6) 212
    assert limited.uniform(0.6) == {"a": 4, "b": 4}
    assert limited.params(limited.uniform(0.6)) == 4 * 28 + 16 + 4 + 50
    assert limited.meets(np.array([[4, 4], [4, 6], [6, 2]]), 0.6).tolist() == [True, False, False]
    assert space.meets(space.policy([4, 6]), 0.6)


def test_what_cannot_be_is_refused_in_one_line() -> None:
    space = by_hand()
    with pytest.raises(spaces.BudgetError, match=r"limit of params .* between 0\.238 and 1 of 386"):
        space.limited(["params=0.2"])
    with pytest.raises(spaces.BudgetError, match=r"limited twice, by params=0\.5 and"):
        space.limited(["params=0.5", "params=0.6"])
    with pytest.raises(spaces.BudgetError, match=r"flops is limited twice, by 0\.6"):
        space.limited(["flops=0.5"]).uniform(0.6)
    with pytest.raises(spaces.BudgetError, match="at most the 386 parameters"):
        space.limited(["params=1K"])
    with pytest.raises(spaces.BudgetError, match="flops or params, but got latency"):
        space.limited(["12ms"])


@st.composite
def limited_spaces(draw: st.DrawFn) -> tuple[WidthSpace, Budget, np.random.Generator]:
    """A few groups, two costs of unlike form, and a reachable limit of each."""
    counts = draw(st.lists(st.integers(2, 12), min_size=1, max_size=4))
    groups = tuple(WidthGroup(f"g{k}", lattice(n)) for k, n in enumerate(counts))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (len(groups), len(groups))
    flops, params = (
        Polynomial(
            float(rng.integers(100)),
            rng.integers(1, 99, len(groups)) ** draw(st.integers(1, 2)) * 1.0,
            np.triu(rng.integers(0, 9, shape) * (rng.random(shape) < 0.5)) * 1.0,
        )
        for _ in range(2)
    )
    space = WidthSpace(groups, flops, params)
    shares = draw(st.tuples(st.floats(0, 1), st.floats(0, 1)))
    pairs = zip(("flops", "params"), shares, strict=True)
    budget, limit = (_between(space, cost, share) for cost, share in pairs)
    return space.limited([limit]), budget, rng


def _between(space: WidthSpace, cost: str, share: float) -> Budget:
    low, full = space.cost(cost, space.lattice.low), space.cost(cost, space.lattice.top)
    return Budget(round(low + share * (full - low)), absolute=True, cost=cost)


def keeps_all(space: WidthSpace, widths: np.ndarray, budget: Budget) -> bool:
    kept = space.flops(widths) <= space.limit(budget)
    return bool(kept and all(space.params(widths) <= space.limit(each) for each in space.limits))


@settings(max_examples=60)
@given(limited_spaces())
def test_projection_keeps_every_limit_and_no_step_more_would(drawn) -> None:
    space, budget, rng = drawn
    widths = space.project(rng.random(len(space.groups)) * 20 + 0.1, budget)
    assert keeps_all(space, widths, budget)
    for g, step in enumerate(space.lattice.step_up(widths)):
        if step:
            wider = widths + step * (np.arange(len(widths)) == g)
            assert not keeps_all(space, wider, budget)


@settings(max_examples=40)
@given(limited_spaces())
def test_solved_widths_keep_every_limit_and_are_hardly_ever_beaten(drawn) -> None:
    space, budget, rng = drawn
    terms = {g.name: np.sort(rng.exponential(1, len(g.choices)))[::-1] for g in space.groups}
    found = space.solve_and_fill(terms, budget)
    assert keeps_all(space, found.widths, budget)
    every = np.array(list(product(*(g.choices for g in space.groups))))
    totals = [space.total(terms, widths) for widths in every[space.meets(every, budget)]]
    assert found.bound <= min(totals) + 1e-9 <= found.total + 2e-9
    if found.gap == 0:
        assert found.total == pytest.approx(min(totals))


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    name = "Residual" if "Residual" in SMALL else sorted(SMALL)[0]
    return spaces.discover(SMALL[name](), (torch.zeros(1, 3, 8, 8),))


def test_parameters_of_a_limited_network_as_its_slice_has_them(found) -> None:
    limited = found.limited(["params=0.6"])
    policy = limited.uniform(0.9)
    assert limited.params(policy) <= 0.6 * found.full_params
    assert limited.uniform(0.9) != found.uniform(0.9)
