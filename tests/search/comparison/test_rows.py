"""Rows of a comparison: what is known is not trained again, and nothing measured is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from search.evaluator import Evaluator
from search.jobs import Failure, TrainingResult

from results import ARMS, ArmRecord
from search.comparison.plan import Planned, Schedule, plan
from search.comparison.rows import Rows
from search.comparison.structures import Structure
from search.finals import Finalist

SCHEDULE = Schedule(base=4, finetune=2, rates={"0.5": 0.03})


@pytest.fixture
def planned(evaluator: Evaluator, contenders: list[Finalist]) -> list[Planned]:
    policy = contenders[-1].policy
    mine = [
        Structure("uniform", "predefined", "0.5", policy, "second_order"),
        Structure("l1", "predefined", "0.5", policy, "l1"),
    ]
    return plan(mine, ARMS, (0, 1), SCHEDULE, evaluator)


def filled(planned: list[Planned], evaluator: Evaluator, trainings: int) -> Rows:
    rows = Rows(planned, SCHEDULE, evaluator)
    for k, job in enumerate(rows.missing[:trainings]):
        rows.add(job, TrainingResult(1.5, job.training.epochs, 0.5 + k / 100, 0.4 + k / 100))
    return rows


def test_each_training_is_missing_once_until_it_is_there(
    planned: list[Planned], evaluator: Evaluator
) -> None:
    rows = filled(planned, evaluator, 5)
    # Per seed uniform has six and l1 two of its own: fresh networks and random channels are shared.
    assert len(planned) == 24
    assert len(Rows(planned, SCHEDULE, evaluator).missing) == 16
    assert len(rows.missing) == 11
    assert len(rows.records) < len(planned)


def test_a_shared_training_fills_the_rows_of_all_who_have_it(
    planned: list[Planned], evaluator: Evaluator
) -> None:
    rows = filled(planned, evaluator, 16)
    assert rows.missing == []
    records = {(r.structure, r.arm, r.seed): r for r in rows.records}
    assert len(records) == 24
    for arm in ("scratch-e", "scratch-b", "scratch-b+", "random-channels"):
        pair = records["uniform", arm, 0], records["l1", arm, 0]
        assert pair[0].test_accuracy == pair[1].test_accuracy
    assert (
        records["uniform", "finetune", 0].test_accuracy
        != records["l1", "finetune", 0].test_accuracy
    )


def test_what_an_earlier_process_kept_is_gone_on_from(
    planned: list[Planned], evaluator: Evaluator
) -> None:
    first = filled(planned, evaluator, 7)
    second = Rows(planned, SCHEDULE, evaluator, first.records)
    assert second.missing == first.missing
    assert second.records == first.records


def test_failures_are_tried_again(planned: list[Planned], evaluator: Evaluator) -> None:
    rows = filled(planned, evaluator, 16)
    bad = planned[0].job
    rows.add(bad, TrainingResult(1.0, failure=Failure("died", "the worker died")))
    assert Rows(planned, SCHEDULE, evaluator, rows.records).missing == [bad]


def test_records_of_other_trainings_are_kept_but_represent_no_budget(
    planned: list[Planned], evaluator: Evaluator
) -> None:
    rows = filled(planned, evaluator, 16)
    other = replace(rows.records[0], structure="trial 9", kind="searched", best=True, lr=0.5)
    again = Rows(planned, SCHEDULE, evaluator, [*rows.records, other])
    assert again.missing == []
    assert again.records == (*rows.records, replace(other, best=False))


def test_another_seed_extends_what_is_there(
    planned: list[Planned], evaluator: Evaluator, contenders: list[Finalist]
) -> None:
    done: tuple[ArmRecord, ...] = filled(planned, evaluator, 16).records
    structure = Structure("uniform", "predefined", "0.5", *contenders[-1].tried)
    more = plan([structure], ARMS, (0, 1, 2), SCHEDULE, evaluator)
    assert {job.seed for job in Rows(more, SCHEDULE, evaluator, done).missing} == {2}
