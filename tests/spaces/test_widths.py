"""The widths of a network without the network: solved and filled within any budget."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.cost import Polynomial
from spaces.groups import lattice
from spaces.solve import Solution
from spaces.widths import WidthGroup, WidthSpace


@st.composite
def spaces_with_terms(draw: st.DrawFn) -> tuple[WidthSpace, dict[str, np.ndarray]]:
    """A few groups, products of their widths, and terms that do not rise with the width."""
    counts = draw(st.lists(st.integers(2, 40), min_size=1, max_size=4))
    groups = tuple(WidthGroup(f"g{k}", lattice(n)) for k, n in enumerate(counts))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    square = np.triu(rng.integers(0, 9, (len(groups), len(groups)))) * 1.0
    flops, params = (
        Polynomial(float(rng.integers(100)), rng.integers(1, 9, len(groups)) * 1.0, square)
        for _ in range(2)
    )
    terms = {g.name: np.sort(rng.exponential(1, len(g.choices)))[::-1] for g in groups}
    return WidthSpace(groups, flops, params), terms


@settings(max_examples=50)
@given(spaces_with_terms(), st.floats(0, 1))
def test_what_is_left_of_the_budget_is_spent(drawn, share: float) -> None:
    space, terms = drawn
    limit = round(space.floor_flops + share * (space.full_flops - space.floor_flops))
    budget = f"{limit / 1000!r}K"
    solved, filled = space.solve(terms, budget), space.solve_and_fill(terms, budget)
    assert space.flops(filled.widths) <= space.limit(budget)
    assert (filled.widths >= solved.widths).all()
    assert filled.bound <= filled.total <= solved.total * (1 + 1e-12)
    assert filled.total == pytest.approx(space.total(terms, space.policy(filled.widths)))
    for g, step in enumerate(space.lattice.step_up(filled.widths)):
        if step:
            wider = filled.widths + step * (np.arange(len(space.groups)) == g)
            assert space.flops(wider) > space.limit(budget)


@pytest.mark.parametrize(
    ("total", "bound", "gap"),
    [
        (2.0, 2.0, 0.0),
        (2.0, 1.6, 0.25),
        (2.0, -np.inf, np.inf),
        (0.0, 0.0, 0.0),
        (1.0, 0.0, np.inf),
    ],
)
def test_how_far_from_the_least_it_may_be(total: float, bound: float, gap: float) -> None:
    found = Solution(np.array([2]), total, bound).gap
    assert math.isclose(found, gap)
