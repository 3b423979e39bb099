"""Limits besides the budget: what every way to propose a policy keeps."""

from __future__ import annotations

import warnings

import numpy as np
import optuna
import pytest
import torch

from search.policies import SAMPLERS
from search.policies.parameters import distributions
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.policies.starts import starts
from search.policies.surrogate import TABLE, Tables
from spaces import Budget, Policy, Space

BUDGET = Budget.parse("0.5")
TRIALS = {"gp": 11}
"""Start-up trials and one more; of the others a few more."""


@pytest.fixture(scope="module")
def limited(space: Space) -> Space:
    """At half of the FLOPs, this share of the parameters binds most policies."""
    return space.limited(["params=0.3"])


def keeps_all(space: Space, policy: Policy) -> bool:
    flops, params = space.flops(policy), space.params(policy)
    return flops <= 0.5 * space.full_flops and params <= 0.3 * space.full_params


def test_the_limit_binds(space: Space, limited: Space) -> None:
    assert not keeps_all(space, space.uniform(BUDGET))
    assert keeps_all(space, limited.uniform(BUDGET))


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_policy_of_every_sampler_keeps_every_limit(limited: Space, name: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    damages = {g.name: (1 - np.array(g.choices) / g.channels) ** 2 for g in limited.groups}
    plan = Plan(0, 20, tables=Tables(limited, damages, [BUDGET], "adaptive_bn"))
    sampler = BudgetSampler(make(name, plan), limited, [BUDGET], seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(TRIALS.get(name, 14)):
            trial = study.ask({**distributions(limited)})
            policy = Policy(trial.params)
            assert keeps_all(limited, policy)
            merit = float(np.log(list(policy.values())).sum())
            study.tell(trial, (merit, limited.flops(policy)))


def test_every_start_keeps_every_limit(limited: Space) -> None:
    rng = np.random.default_rng(0)
    scores = {
        "l1": {g.name: torch.tensor(rng.random(g.channels)) for g in limited.groups},
        TABLE: {
            g.name: torch.tensor(np.sort(rng.random(len(g.choices) - 1))[::-1].copy())
            for g in limited.groups
        },
    }
    made = starts(limited, scores, [BUDGET])
    assert len({start.origin for start in made}) == 3
    assert all(keeps_all(limited, start.policy) for start in made)
