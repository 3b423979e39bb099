"""The sweep of fine-tuning's learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest
from search.evaluator import Evaluator
from search.jobs import Failure, TrainingJob, TrainingResult

from results import SweepPoint
from search.comparison.config import CompareConfig
from search.comparison.sweep import best_rate, sweep
from spaces import Budget
from spaces.errors import ModelError

BUDGETS = [Budget.parse("0.5"), Budget.parse("0.3")]
ASKED = CompareConfig(seeds=3, rates=(0.1, 0.01), sweep_epochs=2)


class Judge:
    """An engine that gives an accuracy for every rate and remembers what it was asked."""

    at_once = threads = 1

    def __init__(self, worth: dict[float, float | None]) -> None:
        self.worth, self.asked = worth, []

    def run(self, *_: object) -> None:
        raise AssertionError

    def finals(
        self,
        evaluator: Evaluator,  # noqa: ARG002
        jobs: Sequence[TrainingJob],
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        for job in jobs:
            assert job.training is not None
            self.asked.append(job)
            worth = self.worth[job.training.recipe.lr]
            failed = Failure("diverged", "diverged: nan") if worth is None else None
            yield job, TrainingResult(0.0, 2, math.nan if worth is None else worth, failure=failed)


def point(rate: float, accuracy: float, budget: str = "0.5") -> SweepPoint:
    return SweepPoint(budget, rate, 2, 3, accuracy)


def test_each_rate_at_each_budget_on_uniform_widths_with_a_seed_of_its_own(
    evaluator: Evaluator,
) -> None:
    judge, kept = Judge({0.1: 0.7, 0.01: 0.9}), []
    points = sweep(evaluator, judge, BUDGETS, ASKED, [], kept.append)
    assert [(p.budget, p.lr, p.epochs, p.chosen) for p in points] == [
        ("0.5", 0.1, 2, False),
        ("0.5", 0.01, 2, True),
        ("0.3", 0.1, 2, False),
        ("0.3", 0.01, 2, True),
    ]
    assert all(p.seed > 2 for p in points)
    assert [len(each) for each in kept] == [1, 2, 3, 4]
    for job, budget in zip(judge.asked, [BUDGETS[0]] * 2 + [BUDGETS[1]] * 2, strict=True):
        assert job.policy == evaluator.space.uniform(budget)
        assert (job.training.tested, job.training.scratch, job.keep) == (False, False, False)


def test_what_is_known_is_not_tried_again(evaluator: Evaluator) -> None:
    judge = Judge({0.1: 0.7, 0.01: 0.9})
    sweep(evaluator, judge, BUDGETS, ASKED, [point(0.1, 0.95)], lambda _: None)
    assert [job.training.recipe.lr for job in judge.asked] == [0.01, 0.1, 0.01]


def test_a_rate_that_diverges_is_not_chosen_and_if_all_do_it_is_said(evaluator: Evaluator) -> None:
    points = sweep(evaluator, Judge({0.1: None, 0.01: 0.2}), BUDGETS[:1], ASKED, [], lambda _: None)
    assert [(p.lr, p.chosen) for p in points] == [(0.1, False), (0.01, True)]
    assert math.isnan(points[0].val_accuracy)
    with pytest.raises(ModelError, match=r"at budget 0.5 must succeed.* 0.1, 0.01 \(diverged"):
        sweep(evaluator, Judge({0.1: None, 0.01: None}), BUDGETS[:1], ASKED, [], lambda _: None)


def test_a_rate_whose_worker_died_is_tried_again_and_one_that_diverged_is_not(
    evaluator: Evaluator,
) -> None:
    nan = float("nan")
    known = [
        SweepPoint("0.5", 0.1, 2, 3, nan, reason="diverged: the loss became nan"),
        SweepPoint("0.5", 0.01, 2, 3, nan, reason="the worker died"),
    ]
    judge = Judge({0.1: 0.7, 0.01: 0.9})
    sweep(evaluator, judge, BUDGETS[:1], ASKED, known, lambda _: None)
    assert [job.training.recipe.lr for job in judge.asked] == [0.01]


def test_among_equals_the_rate_nearest_to_the_usual_one_wins() -> None:
    points = [point(0.1, 0.9), point(0.03, 0.9), point(0.001, 0.9), point(0.01, 0.8)]
    assert best_rate(points, "0.5", usual=0.01) == 0.03
    assert best_rate([*points, point(0.5, 0.95)], "0.5", usual=0.01) == 0.5
