"""The sweep of fine-tuning's learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from trainings import Store

from results import SweepPoint
from search.comparison.sweep import Sweep, best_rate
from search.engines.local import Local
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, TrainingJob, TrainingResult
from spaces import Budget
from spaces.errors import ModelError

BUDGETS = [Budget.parse("0.5"), Budget.parse("0.3")]
RATES = (0.1, 0.01)
DIVERGED = Failure("diverged", "diverged: nan")
DIED = Failure("worker died", "the worker died")


class Judge(Local):
    """An engine that gives an accuracy, or a failure, for every rate; it remembers its jobs."""

    def __init__(self, worth: dict[float, float | Failure]) -> None:
        super().__init__()
        self.worth = worth
        self.asked: list[TrainingJob] = []

    def train(
        self,
        evaluator: Evaluator,  # noqa: ARG002
        jobs: Sequence[TrainingJob],
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        for job in jobs:
            self.asked.append(job)
            worth = self.worth[job.spec.lr]
            if isinstance(worth, Failure):
                yield job, TrainingResult(0.0, failure=worth)
            else:
                yield job, TrainingResult(0.0, worth)


def sweep(
    evaluator: Evaluator, judge: Judge, store: Store, budgets: Sequence[Budget] = BUDGETS
) -> list[SweepPoint]:
    return store.carry_out(Sweep(budgets, RATES, 2, evaluator), evaluator, judge)


def point(rate: float, accuracy: float, budget: str = "0.5") -> SweepPoint:
    return SweepPoint(budget, rate, 2, 3, accuracy)


def test_each_rate_at_each_budget_on_uniform_widths_with_a_seed_of_its_own(
    evaluator: Evaluator,
) -> None:
    judge, store = Judge({0.1: 0.7, 0.01: 0.9}), Store()
    points = sweep(evaluator, judge, store)
    assert [(p.budget, p.lr, p.epochs, p.chosen) for p in points] == [
        ("0.5", 0.1, 2, False),
        ("0.5", 0.01, 2, True),
        ("0.3", 0.1, 2, False),
        ("0.3", 0.01, 2, True),
    ]
    assert all(p.seed > 2 for p in points)
    assert [len(rows) for rows in store.rows] == [0, 1, 2, 3, 4]
    for job, budget in zip(judge.asked, [BUDGETS[0]] * 2 + [BUDGETS[1]] * 2, strict=True):
        assert job.candidate.policy == evaluator.space.uniform(budget)
        assert (job.tested, job.spec.scratch, job.returns_weights) == (False, False, False)


def test_what_is_known_is_not_tried_again(evaluator: Evaluator) -> None:
    first, second, store = Judge({0.1: 0.7, 0.01: 0.9}), Judge({0.1: 0.7, 0.01: 0.9}), Store()
    sweep(evaluator, first, store, BUDGETS[:1])
    sweep(evaluator, second, store)
    assert [job.spec.lr for job in second.asked] == [0.1, 0.01]


def test_a_rate_that_diverges_is_not_chosen_and_if_all_do_it_is_said(evaluator: Evaluator) -> None:
    points = sweep(evaluator, Judge({0.1: DIVERGED, 0.01: 0.2}), Store(), BUDGETS[:1])
    assert [(p.lr, p.chosen) for p in points] == [(0.1, False), (0.01, True)]
    assert math.isnan(points[0].val_accuracy)
    hopeless = Judge({0.1: DIVERGED, 0.01: DIVERGED})
    with pytest.raises(ModelError, match=r"at budget 0.5 must succeed.* 0.1, 0.01 \(diverged"):
        sweep(evaluator, hopeless, Store(), BUDGETS[:1])


def test_a_failed_sweep_has_a_reason_of_its_own_budget() -> None:
    failed = replace(point(0.1, math.nan), reason="diverged: nan")
    other = replace(point(0.1, math.nan, "0.3"), reason="the worker died")
    with pytest.raises(ModelError, match=r"at budget 0.5 .* of 0.1 \(diverged: nan\); try"):
        best_rate([failed, point(0.1, 0.9, "0.3"), other], "0.5", usual=0.01)


def test_a_rate_whose_worker_died_is_tried_again_and_one_that_diverged_is_not(
    evaluator: Evaluator,
) -> None:
    store, judge = Store(), Judge({0.1: 0.7, 0.01: 0.9})
    with pytest.raises(ModelError):
        sweep(evaluator, Judge({0.1: DIVERGED, 0.01: DIED}), store, BUDGETS[:1])
    sweep(evaluator, judge, store, BUDGETS[:1])
    assert [job.spec.lr for job in judge.asked] == [0.01]


def test_among_equals_the_rate_nearest_to_the_usual_one_wins() -> None:
    points = [point(0.1, 0.9), point(0.03, 0.9), point(0.001, 0.9), point(0.01, 0.8)]
    assert best_rate(points, "0.5", usual=0.01) == 0.03
    assert best_rate([*points, point(0.5, 0.95)], "0.5", usual=0.01) == 0.5
