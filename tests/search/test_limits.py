"""Limits besides the budget: what every way to propose a policy keeps."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

import results
from results.latency import Axis, LatencyRecord, LayerTimes
from search import search
from search.latency import kept
from search.policies import SAMPLERS
from search.policies.parameters import distributions
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.policies.starts import starts
from search.policies.surrogate import TABLE, Tables
from spaces import Budget, Policy, Space, UserError
from spaces.widths import HasWidths, WidthSpace

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


SMALL: dict[str, Any] = {
    **{"model": "digits_small", "train_images": 200, "device": "cpu", "sampler": "random"},
    **{"starts": ["l1"], "rungs": [1], "repeats": 0, "final_epochs": 1, "final_seeds": 1},
    **{"gains": False, "lr": 0.01, "name": "limited"},
}


def widest(space: WidthSpace) -> HasWidths:
    return max(space.groups, key=lambda group: group.channels)


def of_widest_group(_model: Any, space: Space, batch: int) -> LatencyRecord:
    """A millisecond for each channel of the widest group, and one for the rest."""
    wide = widest(space)
    nodes, rows = (0, wide.channels), (0.0, 1e6 * wide.channels)
    axes = Axis(0, {}, (0, 1)), Axis(0, {wide.name: 1}, nodes)
    checks = ((1_000_000, 1_010_000), (2_000_000, 1_990_000))
    layers = (LayerTimes((wide.name,), *axes, (rows, rows)),)
    about: dict[str, Any] = {"batch": batch, "device": "cpu", "threads": 1, "checks": checks}
    return LatencyRecord(constant=1_000_000, tables=layers, **about)


def test_a_run_keeps_its_limits_and_its_tables(
    tmp_path: Path, untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def measured(model: Any, space: Space, batch: int) -> LatencyRecord:
        asked.append(batch)
        return of_widest_group(model, space, batch)

    monkeypatch.setattr(kept, "measured", measured)
    options = SMALL | {"weights": str(untrained), "runs_dir": str(tmp_path)}
    limits = {"params": 0.6, "memory": 0.9}
    run = search(budget="6ms", limit=limits, latency_batch=2, trials=3, **options)
    assert asked == [2]
    space = run.space.as_space()
    wide = widest(space)
    assert run.budgets == {"6ms": 6_000_000}
    assert run.provenance.limited == "latency"
    assert list(run.provenance.limits) == ["params=0.6", "memory=0.9"]
    for record in run.records:
        assert record.spent == 1_000_000 * (1 + record.policy[wide.name]) <= 6_000_000
        assert record.size_fraction == record.spent / (1_000_000 * (1 + wide.channels))
        assert record.params <= 0.6 * space.full_params
        assert space.cost("memory", record.policy) <= space.limit("memory=0.9")
    assert {final.budget for final in run.finals} == {None, "6ms"}
    assert {speed.batch for speed in run.timed} == {1, 2, 64}
    text = (run.folder / "report.md").read_text()
    assert "keeps params=0.6" in text
    assert "of 2 other networks the tables predict the time within" in text
    assert "| time, predicted |" in text

    for file in (tmp_path / ".cache").glob("latency-*"):
        file.unlink()
    again = search(resume=True, trials=4, **options, budget="6ms", limit=limits, latency_batch=2)
    assert asked == [2]
    assert len(again.records) == 4
    assert results.load(again.folder).space == run.space
    with pytest.raises(UserError, match="limit"):
        search(resume=True, limit=["params=0.5"], budget="6ms", latency_batch=2, **options)


def test_what_no_policy_meets_is_refused_before_anything_is_trained(
    tmp_path: Path, untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "measured", of_widest_group)
    options = SMALL | {"weights": str(untrained), "runs_dir": str(tmp_path)}
    with pytest.raises(UserError, match=r"limit of latency must be reachable, .* ms at least"):
        search(budget="1ms", **options)
    with pytest.raises(UserError, match="limit of params must be reachable"):
        search(limit=["params=0.001"], **options)
    with pytest.raises(UserError, match="device"):
        search(budget="12ms", **options | {"device": "cuda:17"})
    assert not (tmp_path / "limited").exists()
