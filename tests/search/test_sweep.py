"""The sweep of fine-tuning's learning rate, of a search and of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from evaluators import toy
from trainings import Measured, Store

from results import SweepPoint, chosen_rates
from search.comparison.config import CompareConfig
from search.comparison.notes import notes
from search.config import SearchConfig
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, TrainingJob, TrainingResult
from search.plans.sweep import Sweep, best_rate, check_chosen, of_search, told
from search.training.specs import Specs
from spaces import Budget, Policy, Space
from spaces.errors import ModelError

BUDGETS = [Budget.parse("0.5"), Budget.parse("0.3")]
RATES = (0.1, 0.01)
DIVERGED = Failure("diverged", "diverged: nan")
DIED = Failure("worker died", "the worker died")


@pytest.fixture
def evaluator(space: Space) -> Evaluator:
    return toy(space)


class Judge(Measured):
    """An engine that gives an accuracy, or a failure, for every rate; it remembers its jobs."""

    def __init__(self, worth: dict[float, float | Failure]) -> None:
        super().__init__()
        self.worth = worth

    def result(self, job: TrainingJob) -> TrainingResult:
        worth = self.worth[job.spec.lr]
        if isinstance(worth, Failure):
            return TrainingResult(0.0, failure=worth)
        return TrainingResult(0.0, worth)


def sweep(
    evaluator: Evaluator, judge: Judge, store: Store, budgets: Sequence[Budget] = BUDGETS
) -> list[SweepPoint]:
    return store.carry_out(Sweep(evaluator, budgets, RATES, {0: 2}), evaluator, judge)


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
    hopeless = sweep(evaluator, Judge({0.1: DIVERGED, 0.01: DIVERGED}), Store(), BUDGETS[:1])
    assert not any(p.chosen for p in hopeless)
    with pytest.raises(ModelError, match=r"at budget 0.5 must succeed.* 0.1, 0.01 \(diverged"):
        check_chosen(hopeless)


def test_a_failed_sweep_has_a_reason_of_its_own_budget() -> None:
    failed = replace(point(0.1, math.nan), reason="diverged: nan")
    other = replace(point(0.1, math.nan, "0.3"), reason="the worker died")
    with pytest.raises(ModelError, match=r"at budget 0.5 .* of 0.1 \(diverged: nan\); try"):
        check_chosen([failed, replace(point(0.1, 0.9, "0.3"), chosen=True), other])


def test_a_rate_whose_worker_died_is_tried_again_and_one_that_diverged_is_not(
    evaluator: Evaluator,
) -> None:
    store, judge = Store(), Judge({0.1: 0.7, 0.01: 0.9})
    sweep(evaluator, Judge({0.1: DIVERGED, 0.01: DIED}), store, BUDGETS[:1])
    sweep(evaluator, judge, store, BUDGETS[:1])
    assert [job.spec.lr for job in judge.asked] == [0.01]


def test_among_equals_the_rate_nearest_to_the_usual_one_wins() -> None:
    points = [point(0.1, 0.9), point(0.03, 0.9), point(0.001, 0.9), point(0.01, 0.8)]
    assert best_rate(points, usual=0.01) == 0.03
    assert best_rate([*points, point(0.5, 0.95)], usual=0.01) == 0.5


def test_a_rate_that_failed_with_one_seed_is_out_and_of_the_others_the_mean_counts() -> None:
    points = [point(0.1, 0.99), point(0.1, math.nan), point(0.03, 0.9), point(0.03, 0.6)]
    assert best_rate([*points, point(0.01, 0.7), point(0.01, 0.7)], usual=0.01) == 0.03
    assert best_rate(points[:2], usual=0.01) is None


class Lengths(Measured):
    """Each length of training has a rate of its own; so has a network cut deeply."""

    def __init__(self, deep: Policy) -> None:
        super().__init__()
        self.deep = deep

    def result(self, job: TrainingJob) -> TrainingResult:
        best = 0.003 if job.spec.epochs == 1 else 0.03
        best = 0.1 if job.candidate.policy == self.deep else best
        return TrainingResult(0.0, 0.5 + (job.spec.lr == best) / 4)


def searched(evaluator: Evaluator, **options: Any) -> Evaluator:
    return replace(evaluator, config=SearchConfig.of(budget=("0.5", "0.3"), **options))


def test_a_search_has_a_rate_for_each_budget_and_length_and_its_trainings_use_it(
    evaluator: Evaluator,
) -> None:
    asked = searched(evaluator, rungs=(1, 3), final_epochs=12)
    plan = of_search(asked, BUDGETS)
    assert plan is not None
    judge = Lengths(asked.space.uniform(0.3))
    points = Store().carry_out(plan, asked, judge)
    assert plan.is_done(points)
    assert not plan.is_done(points[1:])
    assert {(job.spec.epochs, job.tested) for job in judge.asked} == {(n, False) for n in (1, 3, 4)}
    assert len(points) == len(judge.asked) == 2 * 3 * 4 * 2  # budgets, lengths, rates, seeds
    rates = chosen_rates(points)
    assert rates == {
        **{("0.5", 1): 0.003, ("0.5", 3): 0.03, ("0.5", 12): 0.03},
        **{("0.3", n): 0.1 for n in (1, 3, 12)},
    }
    assert next(iter(told(rates))) == (
        "learning rate at budget 0.5: 0.003 for 1 epoch, 0.03 for 3 epochs and 0.03 for 12 epochs"
    )
    specs, space = replace(asked, rates=rates).specs, asked.space
    half, deep = space.uniform(0.5), space.uniform(0.3)
    assert [specs.in_mode(half, n).lr for n in (1, 3, 12)] == [0.003, 0.03, 0.03]
    assert [specs.in_mode(deep, n).lr for n in (1, 3)] == [0.1, 0.1]
    assert (specs.final(half).lr, specs.final(deep).lr) == (0.03, 0.1)
    assert specs.in_mode(half, 2).lr == specs.usual_rate(scratch=False)  # that was not asked for
    assert specs.finetuning().lr == 0.03  # the unpruned network has that of the loosest budget


def test_lengths_that_are_equal_are_trained_once(evaluator: Evaluator) -> None:
    asked = searched(evaluator, rungs=(1, 4), final_epochs=12)
    plan, judge = of_search(asked, BUDGETS[:1]), Lengths(asked.space.uniform(0.3))
    assert plan is not None
    assert len(Store().carry_out(plan, asked, judge)) == 3 * 4 * 2
    assert len(judge.asked) == 2 * 4 * 2


def test_a_distilled_search_is_swept_distilled(evaluator: Evaluator) -> None:
    plan = of_search(searched(evaluator, distill=True), BUDGETS)
    assert plan is not None
    assert {(job.spec.distill, job.spec.temperature) for job in plan.jobs} == {(0.9, 4.0)}


@pytest.mark.parametrize("options", [{"lr": 0.02}, {"train": "scratch-e"}])
def test_a_given_rate_and_fresh_weights_need_no_sweep(
    evaluator: Evaluator, options: dict[str, Any]
) -> None:
    asked = searched(evaluator, **options)
    assert of_search(asked, BUDGETS) is None
    policy = asked.space.uniform(0.5)
    unswept = asked.specs.final(policy)
    assert replace(asked, rates={("0.5", 12): 0.5}).specs.final(policy) == unswept


@pytest.mark.parametrize(
    ("images", "asked", "seeds"), [(500, None, 8), (50_000, None, 3), (500, 2, 2)]
)
def test_small_data_has_more_final_seeds(
    evaluator: Evaluator, images: int, asked: int | None, seeds: int
) -> None:
    config = SearchConfig.of(final_seeds=asked, seed=5)
    assert Specs(config, evaluator.space, images).final_seeds == [5 + k for k in range(seeds)]


def test_a_comparison_says_where_the_search_had_another_rate(evaluator: Evaluator) -> None:
    asked = replace(searched(evaluator), rates={("0.5", 12): 0.03, ("0.3", 12): 0.1})
    points = [replace(point(0.03, 0.9, budget), chosen=True) for budget in ("0.5", "0.3")]
    task = SimpleNamespace(train_loop=None, base_epochs=20)
    told = notes(points, CompareConfig(), 20, replace(asked, task=task))  # type: ignore[arg-type]
    (said,) = [note for note in told if "the search's own" in note]
    assert "at budget 0.3 were at a learning rate of 0.1:" in said
