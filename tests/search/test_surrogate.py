"""The surrogate: its posterior against dense Gaussian algebra, its proposals against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState
from sklearn.isotonic import IsotonicRegression

from results.record import TrialRecord
from results.store import RECORD
from search.policies import additive, surrogate
from search.policies.additive import Judged, Posterior, Prior, Terms, falling, fitted
from search.policies.parameters import parameters
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.policies.surrogate import Tables
from spaces import Budget, Policy, Space

HALF = Budget.parse("0.5")
CRITERIA = ("l1", "obs")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def table(space: Space) -> dict[str, np.ndarray]:
    return {g.name: (1 - np.array(g.choices) / g.channels) ** 2 for g in space.groups}


def judged_at_random(space: Space, terms: Terms, count: int, seed: int = 0) -> Judged:
    rng = np.random.default_rng(seed)
    policies = [{g.name: int(rng.choice(g.choices)) for g in space.groups} for _ in range(count)]
    kinds = rng.integers(0, 3, count)
    return Judged(
        terms.places(space, policies), rng.normal(size=count), kinds, rng.integers(0, 2, count)
    )


def dense(terms: Terms, judged: Judged, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """The posterior's mean and covariance of the trained terms, from the joint covariance."""
    n, count = len(judged.scores), terms.count
    damage = terms.damage
    block = prior.shared**2 * np.outer(damage, damage)
    for g, similarity in enumerate(terms.similarity):
        own = slice(terms.first[g], terms.first[g + 1])
        block[own, own] += prior.own**2 * np.outer(damage[own], damage[own])
        block[own, own] += prior.smooth**2 * (similarity + 1e-6 * np.eye(len(similarity)))
    # Base terms, then what training adds to them.
    joint = np.block(
        [[block, np.zeros_like(block)], [np.zeros_like(block), prior.trained**2 * block]]
    )
    select = np.zeros((n, 2 * count))
    for row, (places, kind) in enumerate(zip(judged.places, judged.kind, strict=True)):
        select[row, places] = -1
        select[row, count + places] = -float(kind > 0)
    noise = np.where(judged.kind > 0, prior.trained_noise, prior.noise) ** 2
    level = additive.LEVEL**2 * (judged.kind[:, None] == judged.kind)
    other = additive.BETTER**2 * (judged.criterion[:, None] == judged.criterion)
    covariance = select @ joint @ select.T + level + other + np.diag(noise)
    gain = joint @ select.T @ np.linalg.inv(covariance)
    residual = judged.scores + damage[judged.places].sum(1)
    both = np.hstack([np.eye(count), np.eye(count)])
    mean = damage + both @ gain @ residual
    return mean, both @ (joint - gain @ select @ joint) @ both.T


def test_draws_have_the_mean_and_the_covariance_of_the_posterior(space: Space) -> None:
    terms = Terms.of(space, table(space), HALF)
    judged = judged_at_random(space, terms, 12)
    prior = Prior(shared=0.8, own=0.5, smooth=0.4, noise=0.2, trained=0.6, trained_noise=0.3)
    posterior, rng = Posterior(terms, judged, prior), np.random.default_rng(1)
    draws = np.array([posterior.drawn(rng, 2)[0] for _ in range(8000)])
    mean, covariance = dense(terms, judged, prior)
    spread = np.sqrt(covariance.diagonal())
    assert (abs(draws.mean(0) - mean) <= 5 * spread / np.sqrt(len(draws)) + 1e-3).all()
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.08 * spread.max() ** 2 + 1e-3)
    timid, _ = posterior.drawn(rng, 2, boldness=0.0)
    np.testing.assert_allclose(timid, mean, atol=1e-4)


def test_the_evidence_is_no_lower_than_at_the_start(space: Space) -> None:
    terms = Terms.of(space, table(space), HALF)
    judged = judged_at_random(space, terms, 30)
    truth = -3.0 * terms.damage[judged.places].sum(1)
    judged = replace(judged, scores=surrogate._standardised(truth), kind=judged.kind * 0)
    found = fitted(terms, judged)
    assert found.noise < 0.2 * Prior().noise  # the table alone explains every score
    assert fitted(terms, judged) == found


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_falling_is_isotonic_regression(values: list[float]) -> None:
    wanted = IsotonicRegression(increasing=False).fit_transform(range(len(values)), values)
    np.testing.assert_allclose(falling(np.array(values)), wanted, atol=1e-9)


class Run:
    """A study that the surrogate proposes to; policies are judged by a function of their widths."""

    def __init__(self, space: Space, criteria: tuple[str, ...] = (), seed: int = 0) -> None:
        rng = np.random.default_rng(5)
        self.space, self.criteria = space, criteria
        # The table says little: some groups mind ten times more than it says.
        self.truth = {g.name: table(space)[g.name] * rng.lognormal(0, 1.5) for g in space.groups}
        tables = Tables(space, table(space), (HALF,), "adaptive_bn", criteria)
        inner = make("surrogate", Plan(seed, 40, tables=tables))
        sampler = BudgetSampler(inner, space, (HALF,), seed=seed, criteria=criteria)
        self.study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    def cost(self, policy: Policy) -> float:
        return sum(
            float(self.truth[g.name][g.choices.index(policy[g.name])]) for g in self.space.groups
        )

    def propose(self, ends: bool = True) -> tuple[float, str]:
        """The cost of the next proposal, and its criterion; it is judged by a proxy."""
        trial = self.study.ask(parameters(self.space, self.criteria))
        params = dict(trial.params)
        criterion = params.pop("criterion", "")
        policy = Policy(params)
        cost = self.cost(policy)
        score = -cost - 0.5 * (criterion == "l1")
        record = TrialRecord(
            trial.number, policy, "surrogate", 1, 0.5, 1, {"adaptive_bn": score},
            criterion=criterion,
        )  # fmt: skip
        trial.set_user_attr(RECORD, record.to_json())
        if ends:
            self.study.tell(trial, state=TrialState.PRUNED)
        return cost, criterion


def test_it_learns_what_the_table_does_not_say(space: Space) -> None:
    run = Run(space)
    best = run.space.solve(run.truth, HALF).total
    uniform = run.cost(space.uniform(HALF))
    costs = [run.propose()[0] for _ in range(30)]
    assert min(costs[20:]) <= best + 0.05 * (uniform - best)
    assert np.median(costs[20:]) < np.median(costs[:8])


def test_it_learns_from_trials_that_are_under_way(space: Space) -> None:
    run = Run(space)
    best = run.space.solve(run.truth, HALF).total
    costs = [run.propose(ends=False)[0] for _ in range(30)]
    assert min(costs[20:]) <= best + 0.05 * (run.cost(space.uniform(HALF)) - best)


def test_it_learns_which_criterion_is_better(space: Space) -> None:
    run = Run(space, CRITERIA)
    chosen = [run.propose()[1] for _ in range(30)]
    assert chosen[15:].count("obs") > 10


def test_accuracies_after_training_overrule_the_proxy(space: Space) -> None:
    """Where the proxy prefers one group to be wide and training says another, training decides."""
    terms = Terms.of(space, table(space), HALF)
    rng = np.random.default_rng(0)
    policies = [
        space.policy(space.project(rng.uniform(1, 10, len(space.groups)), HALF)) for _ in range(40)
    ]
    first, last = space.groups[0], space.groups[-1]
    places = terms.places(space, [*policies, *policies])
    narrow = [1 - p[first.name] / first.channels for p in policies]
    wide = [1 - p[last.name] / last.channels for p in policies]
    scores = np.concatenate(
        [surrogate._standardised(-np.array(narrow)), surrogate._standardised(-np.array(wide))]
    )
    kinds = np.repeat([0, 1], 40)
    judged = Judged(places, scores, kinds, kinds * 0)
    posterior = Posterior(
        terms, judged, replace(Prior(), trained=1.0, noise=0.2, trained_noise=0.1)
    )
    rng = np.random.default_rng(1)
    mean = np.mean([posterior.drawn(rng)[0] for _ in range(500)], 0)
    by_group = np.split(mean, terms.first[1:-1])
    rises = [falling(own)[0] - falling(own)[-1] for own in by_group]
    assert rises[-1] > rises[0]
