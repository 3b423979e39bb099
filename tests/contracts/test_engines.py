"""What every engine must do. A new engine is one more line in ``ENGINES``.

Where its work is done in processes that may die, it is one more name in ``WITH_WORKERS`` too.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
import torch
from evaluators import FINAL, Alike, DieOnce, Odd, ToyEvaluator, own_job, toy
from optuna.trial import TrialState

import spaces
from results import TrialRecord, load_records
from search import models
from search.engines import Engine
from search.engines.local import Local
from search.errors import SearchStopped
from search.evaluation.jobs import TrainingJob, TrainingResult
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.policies.starts import Start
from search.study.peers import OpenStudy
from search.study.storage import enqueue, open_study
from search.time_limit import TimeLimit
from spaces import Budget, Space


def _ray(request: pytest.FixtureRequest) -> Engine:
    """On two nodes, which do not have this file: what is defined here travels by value."""
    engine: Engine = request.getfixturevalue("ray_engine")
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return engine


ENGINES: dict[str, Callable[[pytest.FixtureRequest], Engine]] = {
    "local": lambda _: Local(),
    "local with 2 workers": lambda _: Local(workers=2),
    "ray": _ray,
}
WITH_WORKERS = ["local with 2 workers", "ray"]
TRIALS = 12
HALF = Budget.parse("0.5")


@pytest.fixture(scope="module")
def space() -> Space:
    torch.manual_seed(0)
    model = models.build("digits_cnn", classes=10, in_channels=1)
    return spaces.discover(model, (torch.zeros(1, 1, 8, 8),))


@pytest.fixture(params=ENGINES.values(), ids=ENGINES.keys())
def engine(request: pytest.FixtureRequest) -> Engine:
    hire: Callable[[pytest.FixtureRequest], Engine] = request.param
    return hire(request)


@pytest.fixture
def study(space: Space, tmp_path: Path) -> Iterator[optuna.Study]:
    sampler = BudgetSampler(make("random", Plan(0, TRIALS)), space, [HALF], seed=0)
    with open_study(tmp_path / "study.db", sampler) as opened:
        yield opened.study


def run(engine: Engine, study: optuna.Study, evaluator: ToyEvaluator, trials: int = TRIALS) -> None:
    engine.run(OpenStudy(study), evaluator, trials, lambda _: None)


def test_every_trial_ends_and_optuna_knows_how(
    engine: Engine, study: optuna.Study, space: Space
) -> None:
    run(engine, study, toy(space, explore=0.0))
    records = load_records(study)
    told = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED}
    assert [record.number for record in records] == list(range(TRIALS))
    assert {record.state for record in records} == {"complete", "stopped"}
    for record, trial in zip(records, study.get_trials(), strict=True):
        assert trial.state == told[record.state]
        assert trial.params == dict(record.policy)
        assert record.flops == space.flops(record.policy) <= HALF.limit(space.full_flops)
        if record.state == "complete":
            assert trial.values == [record.val_accuracy, record.flops]
            assert (record.rung, record.epochs) == (2, (1, 3))
        else:
            assert "with at most its flops do better" in record.reason


def test_where_criteria_are_searched_each_trial_is_measured_under_its_own(
    engine: Engine, space: Space, tmp_path: Path
) -> None:
    criteria = ("l1", "second_order")
    evaluator = toy(space, explore=1.0, criterion="search", criteria=criteria)
    sampler = BudgetSampler(make("random", Plan(0, 6)), space, [HALF], seed=0, criteria=criteria)
    with open_study(tmp_path / "study.db", sampler) as opened:
        study = opened.study
        engine.run(opened, evaluator, 6, lambda _: None)
        records, trials = load_records(study), study.get_trials()
    for record, trial in zip(records, trials, strict=True):
        assert trial.params == {**record.policy, "criterion": record.criterion}
        better = evaluator.worth(record.policy) + criteria.index(record.criterion)
        assert record.proxies["reconstructed"] == record.accuracy[-1] == better
    assert {record.criterion for record in records} == set(criteria)


def test_starts_come_first_under_their_names_and_a_finished_study_is_left_alone(
    engine: Engine, study: optuna.Study, space: Space
) -> None:
    start = Start(space.uniform(HALF), HALF, "uniform")
    for _ in range(2):
        enqueue(study, [start])
    run(engine, study, toy(space), trials=3)
    records = load_records(study)
    assert [record.origin for record in records] == ["uniform", "random", "random"]
    assert records[0].policy == start.policy
    run(engine, study, toy(space, trouble=Alike(0)), trials=3)
    assert load_records(study) == records


def test_from_the_time_limit_on_only_uniform_widths_begin_and_a_later_run_does_the_rest(
    engine: Engine, study: optuna.Study, space: Space
) -> None:
    complete: list[TrialRecord] = []
    limit = TimeLimit(1e9, reserve=lambda: math.inf if complete else 0.0)

    def watch(record: TrialRecord) -> None:
        if record.state == "complete":
            complete.append(record)

    enqueue(study, [Start(space.uniform(HALF), HALF, "uniform")])
    evaluator = toy(space, explore=1.0)
    engine.run(OpenStudy(study), evaluator, TRIALS, watch, limit)
    first = load_records(study)
    assert len(first) < TRIALS
    assert first[0].state == "complete"
    late = space.uniform(Budget.parse("0.3"))
    enqueue(study, [Start(late, HALF, "uniform"), Start(space.uniform(0.4), HALF, "l1")])
    engine.run(OpenStudy(study), evaluator, TRIALS, watch, limit)
    assert [r.policy for r in load_records(study)[len(first) :]] == [late]
    assert load_records(study)[len(first)].state == "complete"
    run(engine, study, evaluator)
    records = load_records(study)
    assert [record.number for record in records] == list(range(TRIALS))
    assert {record.state for record in records} == {"complete"}


def test_trials_cut_short_go_on_from_their_rung(
    engine: Engine, study: optuna.Study, space: Space
) -> None:
    class Killed(BaseException):
        pass

    def kill_at_rung_1(record: TrialRecord) -> None:
        if record.rung == 1 and record.state == "running":
            raise Killed

    with pytest.raises(Killed):
        engine.run(OpenStudy(study), toy(space), TRIALS, kill_at_rung_1)
    left = [record for record in load_records(study) if record.state == "running"]
    assert 1 in {record.rung for record in left}
    run(engine, study, toy(space, trouble=_NotAgain(tuple(r.seed for r in left if r.rung))))
    records = load_records(study)
    assert [record.number for record in records] == list(range(TRIALS))
    assert {record.state for record in records} <= {"complete", "stopped"}


class _NotAgain:
    """A rung that was measured before the kill must not be measured again."""

    def __init__(self, seeds: tuple[int, ...]) -> None:
        self.seeds = seeds

    def __call__(self, _policy: object, rung: int, seed: int) -> None:
        assert not (seed in self.seeds and rung < 2)


def test_a_failed_trial_is_recorded_and_the_search_goes_on(
    engine: Engine, study: optuna.Study, space: Space
) -> None:
    run(engine, study, toy(space, trouble=Odd()))
    failed = {record.number for record in load_records(study) if record.state == "failed"}
    assert failed == {record.number for record in load_records(study) if record.seed % 2}
    assert all(study.get_trials()[number].state == TrialState.FAIL for number in failed)
    assert {load_records(study)[number].reason for number in failed} == {"bad luck"}


@pytest.mark.parametrize("rung", [0, 1])
def test_three_failures_alike_in_a_row_stop_the_search(
    engine: Engine, study: optuna.Study, space: Space, rung: int
) -> None:
    with pytest.raises(
        SearchStopped, match=rf"3 trials in a row failed at rung {rung} \(.+\): diverged"
    ):
        run(engine, study, toy(space, trouble=Alike(rung), explore=1.0))
    assert sum(record.state == "failed" for record in load_records(study)) == 3


def jobs(space: Space) -> list[TrainingJob]:
    policies = [space.uniform(budget) for budget in (0.5, 0.3, 0.2)]
    evaluator = toy(space)
    return [own_job(evaluator, p, seed, returns_weights=True) for p in policies for seed in (0, 1)]


def trained(
    engine: Engine, evaluator: ToyEvaluator, asked: list[TrainingJob]
) -> dict[TrainingJob, TrainingResult]:
    """What the final trainings gave; each job once."""
    answers = list(engine.train(evaluator, asked))
    assert sorted(asked.index(job) for job, _ in answers) == list(range(len(asked)))
    return dict(answers)


def test_every_final_training_is_done_once_and_one_that_fails_is_an_outcome_too(
    engine: Engine, space: Space
) -> None:
    evaluator = toy(space, trouble=Odd())
    for job, result in trained(engine, evaluator, jobs(space)).items():
        if job.seed % 2:
            assert result.failure is not None
            assert result.failure.reason == "bad luck"
            continue
        score = evaluator.worth(job.candidate.policy)
        assert result.failure is None
        assert (result.val_accuracy, result.test_accuracy) == (score, score / 2)
        assert result.weights["widths"].tolist() == list(job.candidate.policy.values())


def test_no_final_trainings_are_none(engine: Engine, space: Space) -> None:
    assert trained(engine, toy(space), []) == {}


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_a_worker_that_dies_in_a_final_training_takes_no_other_with_it(
    name: str, request: pytest.FixtureRequest, space: Space, tmp_path: Path
) -> None:
    evaluator = toy(space, trouble=DieOnce(tmp_path / "died", FINAL))
    outcomes = trained(ENGINES[name](request), evaluator, jobs(space))
    failures = [result.failure.reason for result in outcomes.values() if result.failure]
    assert (tmp_path / "died").exists()
    assert len(failures) <= 1  # an engine may also begin it again
    assert all("died" in reason for reason in failures)
