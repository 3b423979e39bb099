"""The widths of the least total within a limit, against every width there is and against MILP."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

import spaces
from search import models
from spaces import Space, elimination
from spaces.cost import Polynomial
from spaces.problem import Problem
from spaces.solve import Solution, solve


def random_problem(seed: int, groups: int, most: int, dense: float = 0.4) -> Problem:
    """Damages that mostly fall with the width, products as of layers, squares too."""
    rng = np.random.default_rng(seed)
    choices = [
        np.sort(rng.choice(np.arange(1.0, 40), rng.integers(2, most + 1), replace=False))
        for _ in range(groups)
    ]
    terms = [
        np.sort(rng.exponential(1, len(own)))[::-1] + rng.normal(0, 0.05, len(own))
        for own in choices
    ]
    square = np.triu(rng.integers(0, 50, (groups, groups)) * (rng.random((groups, groups)) < dense))
    flops = Polynomial(
        float(rng.integers(0, 1000)), rng.integers(0, 100, groups) * 1.0, square * 1.0
    )
    low, top = (flops(np.array([own[k] for own in choices])) for k in (0, -1))
    return Problem(terms, choices, flops, float(low + rng.random() * (top - low)))


def enumerated(problem: Problem) -> float:
    """The least total, of all widths."""
    places = itertools.product(*(range(len(own)) for own in problem.choices))
    return min(problem.total(p) for p in places if problem.cost(p) <= problem.limit)


def by_milp(problem: Problem) -> float:
    """The least total, by HiGHS: a binary variable for every width of a group, which sum to one,
    and a share for every pair of widths whose product costs, which sum to those of either.
    """
    sizes = [len(own) for own in problem.choices]
    first = np.cumsum([0, *sizes])
    square = (
        problem.flops.square + problem.flops.square.T - 2 * np.diag(np.diag(problem.flops.square))
    )
    own = zip(problem.choices, problem.flops.linear, np.diag(problem.flops.square), strict=True)
    cost = list(np.concatenate([a * w + b * w**2 for w, a, b in own]))
    entries = [(g, first[g] + k, 1.0) for g, size in enumerate(sizes) for k in range(size)]
    right = [1.0] * len(sizes)
    for g, h in zip(*np.nonzero(np.triu(square)), strict=True):
        shares = len(cost) + np.arange(sizes[g] * sizes[h]).reshape(sizes[g], sizes[h])
        cost += list(square[g, h] * np.outer(problem.choices[g], problem.choices[h]).ravel())
        for variable, own_shares in ((first[g], shares), (first[h], shares.T)):
            for k, line in enumerate(own_shares):
                entries += [(len(right), share, 1.0) for share in line]
                entries.append((len(right), variable + k, -1.0))
                right.append(0.0)
    rows, columns, values = zip(*entries, strict=True)
    equal = coo_array((values, (rows, columns)), shape=(len(right), len(cost))).tocsr()
    found = milp(
        np.concatenate([*problem.terms, np.zeros(len(cost) - first[-1])]),
        integrality=np.arange(len(cost)) < first[-1],
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(equal, right, right),
            LinearConstraint(np.array(cost)[None], -np.inf, problem.limit - problem.flops.constant),
        ],
        options={"mip_rel_gap": 1e-6},
    )
    assert found.success, found.message
    return float(found.fun)


def checked(problem: Problem) -> Solution:
    """The solution, which is what it says it is."""
    found = solve(problem)
    places = [own.tolist().index(w) for own, w in zip(problem.choices, found.widths, strict=True)]
    assert problem.cost(places) <= problem.limit
    assert found.total == pytest.approx(problem.total(places))
    assert found.bound <= found.total + 1e-9
    return found


@cache
def space_of(name: str) -> Space:
    model = models.build(name, classes=10).eval()
    return spaces.discover(model, (torch.zeros(1, 3, 32, 32),))


def posed(space: Space, terms: list[np.ndarray], budget: float) -> Problem:
    choices = [np.array(group.choices, dtype=float) for group in space.groups]
    return Problem(terms, choices, space.flops_of, space.limit(budget))


def damages(space: Space, seed: int) -> list[np.ndarray]:
    """As a table of repaired cuts has them: convex, falling to 0 at the whole width."""
    rng = np.random.default_rng(seed)
    shapes = [(rng.lognormal(0, 1), rng.uniform(1, 3)) for _ in space.groups]
    pairs = zip(space.groups, shapes, strict=True)
    return [a * (1 - np.array(g.choices) / g.channels) ** power for g, (a, power) in pairs]


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0, 1))
def test_it_is_the_least_of_all(seed: int, groups: int, dense: float) -> None:
    problem = random_problem(seed, groups, most=6, dense=dense)
    found = checked(problem)
    assert found.total == pytest.approx(enumerated(problem), rel=1e-5, abs=1e-9)
    assert found.bound == pytest.approx(found.total, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("budget", [0.5, 0.3, 0.15])
@pytest.mark.parametrize("name", ["resnet20b", "resnet56b"])
def test_on_a_network_it_is_what_milp_finds(name: str, budget: float, seed: int) -> None:
    space = space_of(name)
    problem = posed(space, damages(space, seed), budget)
    assert checked(problem).total == pytest.approx(by_milp(problem), rel=1e-5)


@pytest.mark.parametrize("share", [0.5, 0.3, 0.15])
def test_of_many_widths_it_is_proven_nearly_the_best(share: float) -> None:
    """A chain of 15 layers with 64 widths each, as VGG's: there MILP takes minutes."""
    rng = np.random.default_rng(0)
    choices = [np.arange(8.0, 513, 8)] * 15
    terms = [rng.lognormal() * (1 - own / 512) ** rng.uniform(1, 3) for own in choices]
    flops = Polynomial(0.0, np.eye(15)[0], np.diag(rng.uniform(1, 9, 14).round(), 1))
    limit = share * float(flops(np.full(15, 512.0)))
    found = checked(Problem(terms, choices, flops, limit))
    assert found.total <= found.bound * 1.001


@pytest.mark.parametrize("seed", range(8))
def test_where_layers_read_many_others_exchanges_come_near(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elimination, "LARGEST", 8)
    problem = random_problem(seed, groups=10, most=8, dense=1.0)
    found = checked(problem)
    assert found.bound in (-np.inf, found.total)  # the latter where the limit does not bind
    assert found.total <= by_milp(problem) * 1.02 + 0.02
    negligible = [1 + 1e-15 * term for term in problem.terms]
    assert checked(replace(problem, terms=negligible)).total == pytest.approx(len(negligible))


def test_a_limit_that_does_not_bind_and_one_that_leaves_no_choice() -> None:
    problem = random_problem(seed=1, groups=4, most=5)
    free = replace(problem, limit=np.inf)
    assert checked(free).total == sum(float(term.min()) for term in problem.terms)
    least = replace(problem, limit=problem.cost([0] * 4))
    assert checked(least).total == pytest.approx(enumerated(least))


def test_terms_that_are_none_are_told_in_a_line() -> None:
    space = space_of("resnet20b")
    terms = dict(zip((g.name for g in space.groups), damages(space, 0), strict=True))
    solved = space.solve(terms, "0.5")
    assert space.flops(solved.widths) <= space.limit("0.5")
    for bad in (terms["conv1"][:3], terms["conv1"] * np.nan):
        with pytest.raises(spaces.UserError, match="a finite number for each of the 8 widths of"):
            space.solve(terms | {"conv1": bad}, "0.5")
    with pytest.raises(spaces.BudgetError):
        space.solve(terms, "0.0001")
