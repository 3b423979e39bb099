"""The local engine's own matters: worker processes that die, and what a rung may raise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
from evaluators import FINAL, DieOnce, die, own_job, toy

from results import load_records
from search.engines import workers
from search.engines.local import Local
from search.errors import SearchStopped
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.study.peers import OpenStudy
from search.study.storage import open_study
from spaces import Budget, Space, UserError


@pytest.fixture
def study(space: Space, tmp_path: Path) -> Iterator[optuna.Study]:
    sampler = BudgetSampler(make("random", Plan(0, 8)), space, [Budget.parse("0.5")], seed=0)
    with open_study(tmp_path / "study.db", sampler) as opened:
        yield opened.study


def test_a_killed_worker_fails_its_trial_and_is_replaced(
    study: optuna.Study, space: Space, tmp_path: Path
) -> None:
    evaluator = toy(space, trouble=DieOnce(tmp_path / "died"), explore=1.0)
    Local(workers=2).run(OpenStudy(study), evaluator, 8, lambda _: None)
    records = load_records(study)
    failed = [record for record in records if record.state == "failed"]
    assert len(records) == 8
    assert [record.reason for record in failed] == [
        "the worker process died: SIGKILL (out of memory?)"
    ]
    assert failed[0].rung == 0
    assert sum(record.state == "complete" for record in records) == 7


def test_a_worker_killed_in_a_final_training_fails_that_one_alone(
    space: Space, tmp_path: Path
) -> None:
    jobs = [own_job(toy(space), space.uniform(0.5), seed) for seed in range(5)]
    evaluator = toy(space, trouble=DieOnce(tmp_path / "died", FINAL))
    results = dict(Local(workers=2).train(evaluator, jobs))
    failed = [result.failure.reason for result in results.values() if result.failure]
    assert results.keys() == set(jobs)
    assert failed == ["the worker process died: SIGKILL (out of memory?)"]


def test_no_more_workers_start_than_there_are_jobs(
    study: optuna.Study, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []

    class Counted(workers._Worker):  # type: ignore[type-arg]
        def __init__(self, payload: bytes) -> None:
            started.append(self)
            super().__init__(payload)

    monkeypatch.setattr(workers, "_Worker", Counted)
    engine, evaluator = Local(workers=4), toy(space, explore=1.0)
    engine.run(OpenStudy(study), evaluator, 1, lambda _: None)
    assert [record.state for record in load_records(study)] == ["complete"]
    assert len(started) == 1
    engine.run(OpenStudy(study), evaluator, 1, lambda _: None)
    list(engine.train(evaluator, [own_job(evaluator, space.uniform(0.5), seed) for seed in (0, 1)]))
    assert len(started) == 3
    engine.run(OpenStudy(study), evaluator, 12, lambda _: None)
    assert len(load_records(study)) == 12
    assert len(started) == 7


@pytest.fixture
def stillborn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system kills every worker before it has read a byte of its task."""
    monkeypatch.setattr(workers, "_serve", die)


@pytest.mark.usefixtures("stillborn")
def test_workers_that_die_while_they_start_stop_the_search(
    study: optuna.Study, space: Space
) -> None:
    large = {"fills every buffer": torch.zeros(2**22)}
    evaluator = replace(toy(space), scores=large)
    jobs = [own_job(toy(space), space.uniform(0.5), seed) for seed in range(5)]
    with pytest.raises(SearchStopped, match=r"3 trials in a row .*: the worker process died"):
        Local(workers=2).run(OpenStudy(study), evaluator, 8, lambda _: None)
    assert [record.state for record in load_records(study)].count("failed") == 3
    with pytest.raises(SearchStopped, match="3 final trainings in a row failed: the worker"):
        list(Local(workers=2).train(evaluator, jobs))


def test_one_worker_gives_the_same_study_every_time(space: Space, tmp_path: Path) -> None:
    def records(name: str) -> list[object]:
        sampler = BudgetSampler(make("tpe", Plan(0, 20)), space, [Budget.parse("0.5")], seed=0)
        with open_study(tmp_path / name, sampler) as opened:
            Local().run(opened, toy(space), 20, lambda _: None)
            return load_records(opened.study)  # type: ignore[return-value]

    assert records("a.db") == records("b.db")


def test_a_file_that_is_no_study_is_refused(space: Space, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("no database")
    sampler = BudgetSampler(make("random", Plan(0, 8)), space, [Budget.parse("0.5")], seed=0)
    with pytest.raises(UserError, match=r"study\.db"), open_study(tmp_path / "study.db", sampler):
        pass
