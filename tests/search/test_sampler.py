"""BudgetSampler around every sampler on offer: what Optuna stores is feasible."""

from __future__ import annotations

import warnings
from collections import Counter, OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import Trial, TrialState
from torch import nn

import spaces
from results.optuna_private import trial_id_of
from search.policies import SAMPLERS
from search.policies.parameters import distributions, parameters
from search.policies.sampler import BudgetSampler, drawn
from search.policies.samplers import Plan, make
from search.policies.seeds import trial_seed
from search.policies.surrogate import Tables
from spaces import Budget, Policy, Space, UserError
from spaces.errors import ModelError

HALF = (Budget.parse("0.5"),)
# The Gaussian process takes seconds a proposal once its start-up trials are over.
TRIALS = {name: 12 if name == "gp" else 30 for name in SAMPLERS}


def study(space: Space, name: str, budgets: tuple[Budget, ...] = HALF, **plan: int) -> optuna.Study:
    how = Plan(**({"seed": 0, "trials": 20} | plan), tables=tables(space, budgets))
    sampler = BudgetSampler(make(name, how), space, budgets, seed=how.seed)
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)


def tables(space: Space, budgets: tuple[Budget, ...] = HALF, criteria: Any = ()) -> Tables:
    damages = {g.name: (1 - np.array(g.choices) / g.channels) ** 2 for g in space.groups}
    return Tables(space, damages, budgets, "adaptive_bn", criteria)


def propose(study: optuna.Study, space: Space) -> tuple[Trial, Policy]:
    trial = study.ask({**distributions(space)})
    return trial, Policy(trial.params)


def merit(policy: Policy) -> float:
    return float(np.log(list(policy.values())).sum())


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_stored_policy_is_on_the_lattice_and_meets_its_budget(
    space: Space, name: str
) -> None:
    budgets = (Budget.parse("0.5"), Budget.parse("0.2"))
    choices = {group.name: group.choices for group in space.groups}
    seen = study(space, name, budgets)
    for number in range(TRIALS[name]):
        trial, policy = propose(seen, space)
        flops = space.flops(policy)
        assert list(policy) == list(choices)
        assert all(width in choices[group] for group, width in policy.items())
        assert 0 <= budgets[number % 2].limit(space.full_flops) - flops < 0.05 * space.full_flops
        if number % 4 == 3:
            seen.tell(trial, state=TrialState.PRUNED)
        else:
            seen.tell(trial, (merit(policy), flops))
    policies = [Policy(trial.params) for trial in seen.trials]
    assert len(set(policies)) == len(policies)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "gp"])
def test_proposals_depend_on_the_seed_and_the_study_alone(space: Space, name: str) -> None:
    def proposals(seed: int, restart_at: int) -> list[Policy]:
        seen = study(space, name, seed=seed)
        found = []
        for number in range(15):
            if number == restart_at:
                seen.sampler = study(space, name, seed=seed).sampler
            trial, policy = propose(seen, space)
            seen.tell(trial, (merit(policy), space.flops(policy)))
            found.append(policy)
        return found

    assert proposals(0, restart_at=99) == proposals(0, restart_at=12)
    assert proposals(0, restart_at=99) != proposals(1, restart_at=99)


def test_a_trial_cut_short_gets_the_same_widths_again(space: Space) -> None:
    seen = study(space, "qmc")
    trial = seen.ask()
    first, *rest = distributions(space).items()
    trial.suggest_int(first[0], first[1].low, first[1].high)
    again = Trial(seen, trial_id_of(trial))
    for name, distribution in [first, *rest]:
        again.suggest_int(name, distribution.low, distribution.high)
    about = seen.get_trials()[0].system_attrs["budget_sampler"]
    assert again.params == about["params"]


CRITERIA = ("l1", "taylor_2019", "second_order")


def searching(space: Space, name: str, seed: int = 0) -> optuna.Study:
    plan = Plan(seed=seed, trials=20, tables=tables(space, criteria=CRITERIA))
    sampler = BudgetSampler(make(name, plan), space, HALF, seed=seed, criteria=CRITERIA)
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)


def with_criterion(study: optuna.Study, space: Space) -> dict[str, Any]:
    """What is proposed next; what it is told depends on the criterion and the widths alone."""
    trial = study.ask(parameters(space, CRITERIA))
    policy = widths(trial.params)
    better = merit(policy) + 10 * CRITERIA.index(trial.params["criterion"])
    study.tell(trial, (better, 1.0))
    return trial.params


def widths(params: dict[str, Any]) -> Policy:
    return Policy({name: width for name, width in params.items() if name != "criterion"})


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_criterion_is_searched_beside_the_widths(space: Space, name: str) -> None:
    seen = searching(space, name)
    found = [with_criterion(seen, space) for _ in range(min(TRIALS[name], 20) - 1)]
    assert {params["criterion"] for params in found} == set(CRITERIA)
    assert len({tuple(params.items()) for params in found}) == len(found)
    limit = HALF[0].limit(space.full_flops)
    assert all(space.flops(widths(params)) <= limit for params in found)


def test_qmc_has_every_criterion_equally_often(space: Space) -> None:
    seen = searching(space, "qmc")
    counted = Counter(with_criterion(seen, space)["criterion"] for _ in range(33))
    # The first is drawn by the wrapper; of each 8 points of a Sobol sequence 2 or 3 are in a third.
    assert all(8 <= counted[criterion] <= 14 for criterion in CRITERIA)


def test_tpe_learns_which_criterion_is_better(space: Space) -> None:
    seen = searching(space, "tpe")
    later = [with_criterion(seen, space)["criterion"] for _ in range(40)][20:]
    assert later.count("second_order") > 12  # a third would be 7


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "gp"])
def test_criteria_too_depend_on_the_seed_and_the_study_alone(space: Space, name: str) -> None:
    def found(seed: int, restart_at: int) -> list[dict[str, Any]]:
        seen = searching(space, name, seed)
        proposals = []
        for number in range(14):
            if number == restart_at:
                seen.sampler = searching(space, name, seed).sampler
            proposals.append(with_criterion(seen, space))
        return proposals

    assert found(0, restart_at=99) == found(0, restart_at=12)
    assert found(0, restart_at=99) != found(1, restart_at=99)


def test_the_same_widths_are_proposed_again_under_another_criterion_only(space: Space) -> None:
    class OnePolicy:
        groups = tuple(replace(g, choices=(g.channels,)) for g in space.groups)
        project = staticmethod(space.project)

    inner = make("tpe", Plan(seed=0, trials=20))
    sampler = BudgetSampler(inner, OnePolicy(), [Budget.parse(1.0)], seed=0, criteria=CRITERIA)
    seen = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    asked = [seen.ask(parameters(OnePolicy(), CRITERIA)).params["criterion"] for _ in CRITERIA]
    assert sorted(asked) == sorted(CRITERIA)


def test_a_group_that_is_called_like_the_parameter_is_refused(space: Space) -> None:
    class Named:
        groups = (replace(space.groups[0], name="criterion"), *space.groups[1:])
        project = staticmethod(space.project)

    with pytest.raises(ModelError, match="needs the name 'criterion' for itself"):
        parameters(Named(), CRITERIA)
    assert "criterion" in parameters(Named(), ())


def test_its_widths_meet_the_budget_too_where_no_criterion_is_searched() -> None:
    layers = {
        "criterion": nn.Conv2d(1, 64, 3),
        "act": nn.ReLU(),
        "second": nn.Conv2d(64, 64, 3),
        "flat": nn.Flatten(),
        "head": nn.Linear(1024, 10),
    }
    model = nn.Sequential(OrderedDict(layers)).eval()
    space = spaces.discover(model, (torch.zeros(1, 1, 8, 8),))
    assert "criterion" in distributions(space)
    seen = study(space, "random")
    for _ in range(10):
        assert space.flops(propose(seen, space)[1]) <= HALF[0].limit(space.full_flops)


def test_what_was_drawn_at_random_is_known(space: Space) -> None:
    seen = study(space, "tpe")
    for _ in range(14):
        trial, policy = propose(seen, space)
        seen.tell(trial, (merit(policy), space.flops(policy)))
    # TPE's first ten trials teach it.
    assert [drawn(seen, t) for t in seen.trials] == [True] * 10 + [False] * 4


def test_enqueued_policies_are_taken_as_they_are(space: Space) -> None:
    seen = study(space, "tpe")
    seen.enqueue_trial(dict(space.full))
    assert propose(seen, space)[1] == space.full


def test_a_group_with_one_width_is_no_obstacle(space: Space) -> None:
    class OneWidth:
        groups = (*space.groups[:-1], _only_full(space))
        project = staticmethod(space.project)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in set(SAMPLERS) - {"gp", "surrogate"}:
            inner = make(name, Plan(seed=0, trials=20))
            seen = optuna.create_study(
                directions=["maximize", "minimize"],
                sampler=BudgetSampler(inner, OneWidth(), [Budget.parse(1.0)], seed=0),
            )
            for _ in range(14):
                trial = seen.ask({**distributions(OneWidth())})
                seen.tell(trial, (merit(Policy(trial.params)), 1.0))
            assert {t.params[space.groups[-1].name] for t in seen.trials} == {64}


def _only_full(space: Space) -> object:
    group = space.groups[-1]
    return replace(group, choices=(group.channels,))


def test_an_unknown_sampler_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="unknown sampler 'nsga', did you mean 'nsga"):
        make("nsga", Plan(seed=0, trials=20))


def test_trials_have_seeds_of_their_own() -> None:
    assert len({trial_seed(seed, number) for seed in range(30) for number in range(30)}) == 900
