"""What a sampler sees of a long study: bounded, the right trials, and never a matter of luck."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from results import pareto
from search.policies import memory as trial_window
from search.policies.memory import BEST, SHOWN, StudyWindow, TrialWindow, best
from search.policies.parameters import distributions
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from spaces import Budget, Policy, Space

HALF = (Budget.parse("0.5"),)
START = datetime(2026, 1, 1)
STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def trial(number: int, minute: float | None = None, **about: Any) -> FrozenTrial:
    """One that ended after so many minutes, or one that is still running."""
    state = about.get("state", TrialState.COMPLETE) if minute is not None else TrialState.RUNNING
    rng = np.random.default_rng(number)
    drawn = [float(v) for v in rng.random(2)]
    values = about.get("values", drawn) if state == TrialState.COMPLETE else None
    made = create_trial(
        state=state,
        values=values,
        params={"a": number},
        distributions={"a": optuna.distributions.IntDistribution(0, 10**6)},
    )
    made.number, made._trial_id = number, number + 1000
    made.datetime_complete = None if minute is None else START + timedelta(minutes=minute)
    return made


def history(count: int, seed: int = 0) -> list[FrozenTrial]:
    """Trials of all three endings, each of which took up to 40 starts of others."""
    rng = np.random.default_rng(seed)
    return [
        trial(n, n + 40 * rng.random(), state=STATES[rng.choice(3, p=(0.4, 0.5, 0.1))])
        for n in range(count)
    ]


def as_of(trials: list[FrozenTrial], minute: float) -> list[FrozenTrial]:
    """The same trials as they were then, those begun by then."""
    now = START + timedelta(minutes=minute)
    begun = trials[: int(minute) + 1]
    return [t if t.datetime_complete <= now else trial(t.number) for t in begun]


def shown(window: TrialWindow, trials: list[FrozenTrial]) -> list[int]:
    window.update(trials)
    return [t.number for t in window.shown(trials)]


def test_a_short_study_is_shown_as_it_is() -> None:
    trials = [trial(n, n) for n in range(SHOWN)] + [trial(SHOWN)]
    assert shown(TrialWindow(["a"]), trials) == list(range(SHOWN + 1))


def test_of_a_long_study_so_many_are_shown_with_the_best_and_the_latest_among_them() -> None:
    trials = [t for t in history(3000) if t.state != TrialState.FAIL]
    for number, t in enumerate(trials):
        t.number = number
    running = [trial(len(trials)), trial(len(trials) + 1)]
    seen = shown(TrialWindow(["a"]), trials + running)
    assert len(seen) == SHOWN + 2
    assert seen == sorted(seen)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    front = pareto.front([(t.values[1], t.values[0]) for t in complete])
    latest = sorted(trials, key=lambda t: t.datetime_complete)[-BEST:]
    expected = [complete[i] for i in front] + latest + running
    assert {t.number for t in expected} <= set(seen)


def test_failed_trials_teach_nothing_but_are_not_tried_again() -> None:
    trials = [trial(0, 0, state=TrialState.FAIL), *(trial(n, n) for n in range(1, SHOWN + 2))]
    window = TrialWindow(["a"])
    assert 0 not in shown(window, trials)
    assert window.contains({"a": 0})
    assert not window.contains({"a": SHOWN + 2})


def test_a_running_policy_counts_as_tried_as_soon_as_it_is_there() -> None:
    waiting = trial(0)
    waiting.params = {}
    window = TrialWindow(["a"])
    window.update([waiting])
    assert not window.contains({"a": 0})
    window.update([trial(0)])
    assert window.contains({"a": 0})


@pytest.mark.parametrize("seed", range(3))
def test_what_is_shown_does_not_depend_on_when_it_was_looked_at(seed: int) -> None:
    trials = history(1500, seed)
    watching, rng = TrialWindow(["a"]), np.random.default_rng(seed)
    for minute in np.sort(rng.uniform(0, 1600, 60)):
        now = as_of(trials, minute)
        assert shown(watching, now) == shown(TrialWindow(["a"]), now)


def test_a_trial_that_turns_up_hours_late_leaves_no_trace_of_it() -> None:
    trials = [trial(n, n) for n in range(1200)]
    late = [*trials[:3], trial(3), *trials[4:]]
    window = TrialWindow(["a"])
    shown(window, late)
    assert shown(window, trials) == shown(TrialWindow(["a"]), trials)


def test_the_best_are_whole_fronts_and_an_even_part_of_the_last() -> None:
    first = [trial(n, n, values=[n / 10, n]) for n in range(5)]
    second = [trial(5 + n, n, values=[n / 10 - 0.01, n + 0.5]) for n in range(5)]
    assert {t.number for t in best(second + first, 5)} == {0, 1, 2, 3, 4}
    assert [t.number for t in best(second + first, 8)][5:] == [5, 7, 9]
    assert len(best(first, 99)) == 5


def test_a_view_bounds_observations_and_lets_trials_be_looked_up() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    trials = [trial(n, n) for n in range(4)]
    view = StudyWindow(study, trials, trials[2:])
    complete = (TrialState.COMPLETE,)
    assert [t.number for t in view._get_trials(states=complete)] == [2, 3]
    assert len(view.get_trials()) == 4
    assert view.get_trials(deepcopy=False)[0] is trials[0]
    assert view.get_trials()[0] is not trials[0]
    assert view.directions == study.directions


class Unbounded(BudgetSampler):
    """Shows the inner sampler the study itself, and compares with every trial."""

    def _propose(self, study: Any, trial: FrozenTrial) -> tuple[Policy, bool]:
        open_ = {name: d for name, d in self._distributions.items() if not d.single()}
        proposal = self._inner.sample_relative(study, trial, open_)
        rng = np.random.default_rng([self._seed, trial.number])
        for _ in range(20):
            policy = self._complete(proposal, trial.number, rng)
            if dict(policy) not in [t.params for t in study.get_trials(deepcopy=False)]:
                break
            proposal = {}
        return policy, not proposal


def proposals(sampler: BudgetSampler, space: Space, trials: int, copy_at: int = -1) -> list[Policy]:
    """What the sampler proposes when a third of the trials is stopped; a copy may take over."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    found = []
    for number in range(trials):
        if number == copy_at:
            study.sampler = pickle.loads(pickle.dumps(study.sampler))
        asked = study.ask({**distributions(space)})
        policy = Policy(asked.params)
        merit = float(np.log(list(policy.values())).sum())
        if number % 3:
            study.tell(asked, (merit, space.flops(policy)))
        else:
            study.tell(asked, state=TrialState.PRUNED)
        found.append(policy)
    return found


def sampler(kind: type[BudgetSampler], name: str, space: Space, workers: int = 1) -> BudgetSampler:
    plan = Plan(seed=0, trials=40, workers=workers)
    return kind(make(name, plan), space, HALF, seed=0)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize(("name", "workers"), [("tpe", 1), ("tpe", 2), ("nsga2", 1), ("random", 1)])
def test_a_short_study_gets_the_proposals_that_an_unbounded_sampler_makes(
    space: Space, name: str, workers: int
) -> None:
    bounded = proposals(sampler(BudgetSampler, name, space, workers), space, 40)
    assert bounded == proposals(sampler(Unbounded, name, space, workers), space, 40)


@pytest.mark.parametrize("name", ["nsga2", "nsga3", "random", "qmc"])
def test_samplers_that_need_no_long_memory_propose_the_same_in_a_long_study(
    space: Space, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_window, "SHOWN", 40)
    monkeypatch.setattr(trial_window, "BEST", 10)
    bounded = proposals(sampler(BudgetSampler, name, space), space, 120)
    assert bounded == proposals(sampler(Unbounded, name, space), space, 120)


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_a_copy_of_the_sampler_goes_on_as_the_sampler_would_have(
    space: Space, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_window, "SHOWN", 24)
    monkeypatch.setattr(trial_window, "BEST", 8)
    whole = proposals(sampler(BudgetSampler, name, space), space, 60)
    assert whole == proposals(sampler(BudgetSampler, name, space), space, 60, copy_at=50)
    if name == "tpe":
        assert whole != proposals(sampler(Unbounded, name, space), space, 60)
