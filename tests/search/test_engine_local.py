"""The local engine's own matters: worker processes that die, and what a rung may raise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from climbs import DieOnce, toy

from results import load_records
from search.engines.local import Local
from search.engines.study import open_study
from search.sampler import BudgetSampler, Plan, make
from spaces import Budget, Space, UserError


@pytest.fixture
def study(space: Space, tmp_path: Path) -> Iterator[optuna.Study]:
    sampler = BudgetSampler(make("random", Plan(0, 8)), space, [Budget.parse("0.5")], seed=0)
    with open_study(tmp_path / "study.db", sampler) as opened:
        yield opened


def test_a_killed_worker_fails_its_trial_and_is_replaced(
    study: optuna.Study, space: Space, tmp_path: Path
) -> None:
    Local(workers=2).run(study, toy(space, trouble=DieOnce(tmp_path / "died"), coin=1.0), 8)
    records = load_records(study)
    failed = [record for record in records if record.state == "failed"]
    assert len(records) == 8
    assert [record.reason for record in failed] == [
        "the worker process died: SIGKILL (out of memory?)"
    ]
    assert failed[0].rung == 0
    assert sum(record.state == "complete" for record in records) == 7


def test_one_worker_gives_the_same_study_every_time(space: Space, tmp_path: Path) -> None:
    def records(name: str) -> list[object]:
        sampler = BudgetSampler(make("tpe", Plan(0, 20)), space, [Budget.parse("0.5")], seed=0)
        with open_study(tmp_path / name, sampler) as opened:
            Local().run(opened, toy(space), 20)
            return load_records(opened)  # type: ignore[return-value]

    assert records("a.db") == records("b.db")


def test_a_file_that_is_no_study_is_refused(space: Space, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("no database")
    sampler = BudgetSampler(make("random", Plan(0, 8)), space, [Budget.parse("0.5")], seed=0)
    with pytest.raises(UserError, match=r"study\.db"), open_study(tmp_path / "study.db", sampler):
        pass
