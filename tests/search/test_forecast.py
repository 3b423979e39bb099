"""The forecast: each part of a search is counted, and nothing that is there already."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from evaluators import own_job, toy
from trainings import Measured, Store

from results import TrialRecord
from search import forecast
from search.data.splits import TensorSplit
from search.evaluation.evaluator import Evaluator
from search.forecast import BOOKKEEPING, END, REPORT_SECONDS, Speed, reaching, timed, told
from search.plans.finals import EXPECTED
from search.plans.repeats import chosen
from search.remaining import Following, stages
from search.speed import LEAST, MOST, SECONDS, WARMING, seconds_of_timing
from search.stages import Stage
from search.training.trainer import NO_WEIGHTS, Trainer
from spaces import Budget, Space

HALF = [Budget.parse("0.5")]
STILL = Speed(epoch=0.0, evaluation=0.0, flops=1)


def test_a_training_is_its_epochs_its_evaluations_and_one_repair(space: Space) -> None:
    evaluator, uniform = toy(space, final_epochs=4), space.uniform(0.5)
    speed = Speed(2.0, 0.5, 3 * space.flops(uniform), test=0.25, repair=10.0)
    job, other = (own_job(evaluator, uniform, seed) for seed in (0, 1))
    assert speed.of_trainings([job], space, 1) == pytest.approx(4 * 2.0 + 0.5 + 0.25 + 10.0)
    untested = replace(job, tested=False)
    assert speed.of_trainings([untested], space, 1) == pytest.approx(4 * 2.0 + 0.5 + 10.0)
    both = 2 * (4 * 2.0 + 0.5 + 0.25)
    assert speed.of_trainings([job, other], space, 1) == pytest.approx(both + 10.0)
    assert speed.of_trainings([job, other], space, 2) == pytest.approx(both / 2 + 10.0)
    fresh = replace(job, spec=replace(job.spec, scratch=True))
    assert speed.of_trainings([fresh], space, 1) == pytest.approx(both / 2)
    assert speed.of_trainings([], space, 1) == 0.0


@pytest.mark.parametrize(
    ("part", "share"),
    [
        ({"proxies": 1.0}, 1.0),
        ({"repair": 1.0}, 0.5),
        ({"epoch": 1.0}, 0.5 * 1 + 0.25 * 3),
        ({"evaluation": 1.0}, 0.5 + 0.25),
        ({}, 0.0),
    ],
)
def test_a_trial_is_its_proxies_its_repair_and_the_rungs_it_reaches(
    space: Space, part: dict[str, float], share: float
) -> None:
    config = toy(space, eta=4, explore=0.0, rungs=(1, 3)).config
    assert [reaching(config, rung) for rung in (0, 1, 2)] == [1.0, 0.5, 0.25]
    seconds = replace(STILL, **part).of_trials(config, 6, at_once=2)
    assert seconds == pytest.approx(3 * (share + BOOKKEEPING))


def test_the_end_is_the_unpruned_networks_test_the_times_and_the_report(space: Space) -> None:
    evaluator = replace(toy(space), task=SimpleNamespace(validation=range(100)))  # type: ignore[arg-type]
    speed = Speed(epoch=1.0, evaluation=50.0, flops=1, test=20.0)
    timing = seconds_of_timing(0.5, networks=7)
    assert speed.of_the_end(evaluator, budgets=2) == pytest.approx(70.0 + timing + REPORT_SECONDS)


def test_the_times_of_networks_take_as_many_passes_as_fit() -> None:
    assert seconds_of_timing(1e-6, 3) == pytest.approx((2 * MOST + WARMING) * 3 * 65e-6)
    assert seconds_of_timing(1.0, 3) == pytest.approx((2 * LEAST + WARMING) * 3 * 65)
    one = SECONDS / 10 / 3
    wanted = SECONDS + WARMING * 3 * one + (2 * LEAST + WARMING) * 3 * 64 * one
    assert seconds_of_timing(one, 3) == pytest.approx(wanted)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: now[0])
    return now


def test_what_is_quick_is_timed_once_it_is_warm(clock: list[float]) -> None:
    def seconds_of(*takes: float) -> float:
        passes = iter(takes)

        def work() -> None:
            clock[0] += next(passes)

        return timed(work)

    assert seconds_of(4.0, 1.0) == 1.0
    assert seconds_of(6.0) == 6.0


class Stream(TensorSplit):
    """Holds less than all of its images."""

    def indexable(self) -> TensorSplit:
        return self.subset(torch.arange(24))


@pytest.mark.parametrize(
    ("kind", "images", "length"), [(TensorSplit, 80, 64), (TensorSplit, 16, 16), (Stream, 48, 24)]
)
def test_what_is_timed_is_as_much_of_a_split_as_is_asked_for_and_held(
    kind: type[TensorSplit], images: int, length: int
) -> None:
    split = kind(torch.zeros(64, 1, 2, 2), torch.zeros(64, dtype=torch.int64))
    part, share = forecast._part(split, images)
    assert (len(part), share) == (length, 64 / length)


def following(evaluator: Evaluator, trainer: Trainer, **others: Any) -> Following:
    fields: dict[str, Any] = {"records": (), **others}
    return Following(evaluator=evaluator, budgets=HALF, trainer=trainer, **fields)


def counted(evaluator: Evaluator, trainer: Trainer, **others: Any) -> int:
    return len(following(evaluator, trainer, **others).jobs)


def complete(space: Space, number: int) -> TrialRecord:
    """The more accurate, the larger: all are on the front."""
    policy = space.uniform(0.3 + number / 20)
    flops, accuracy = space.flops(policy), (0.4, 0.5 + number / 100)
    share, params = flops / space.full_flops, space.params(policy)
    record = TrialRecord(number, policy, "tpe", flops, share, params, seed=number)
    return replace(record, accuracy=accuracy, epochs=(1, 3), state="complete")


def test_before_the_first_trial_all_trainings_are_to_come(space: Space) -> None:
    trainer = Store().trainer(toy(space), Measured())

    def count(**options: Any) -> int:
        return counted(toy(space, final_seeds=4, repeats=5, **options), trainer)

    assert count(gains=False) == 5 + EXPECTED * 4
    assert count() == 5 + EXPECTED * 4 + 4  # and plain uniform widths
    assert count(distill=True) == 5 + EXPECTED * 4 + 12
    assert count(compression_baselines=["ternary"]) == 5 + EXPECTED * 4 + 4 + 4
    assert count(trials=1, gains=False) == 1 + EXPECTED * 4  # one trial is repeated at most


def test_without_time_for_trials_only_uniform_widths_are_trained(space: Space) -> None:
    trainer = Store().trainer(toy(space), Measured())
    task = SimpleNamespace(validation=range(100))
    evaluator = replace(toy(space, final_seeds=4, repeats=5), task=task)  # type: ignore[arg-type]
    assert counted(evaluator, trainer, tries=False) == 4 + 4  # and plain uniform widths
    trainings = [
        stages(following(evaluator, trainer, tries=tries), Speed(1.0, 1.0, 1), None, 1)[2]
        for tries in (True, False)
    ]
    assert [told([stage], 0.0).rpartition("for ")[2] for stage in trainings] == [
        f"about {5 + EXPECTED * 4 + 4} trainings",
        "8 trainings",
    ]


def test_what_was_trained_is_not_counted_again(space: Space) -> None:
    evaluator = toy(space, trials=4, final_seeds=2, repeats=2)
    store, records = Store(), [complete(space, k) for k in range(4)]
    plan = following(evaluator, store.trainer(evaluator, Measured()), records=records)
    assert len(plan.jobs) == 2 + 2 * (1 + 4) + 2  # repeats, uniform widths and a front of 4, gains
    trainer = store.trainer(evaluator, Measured())
    for job in plan.jobs:
        list(trainer.train("finals", [job], NO_WEIGHTS))
    assert counted(evaluator, trainer, records=records) == 0
    more = toy(space, trials=8, final_seeds=2, repeats=2)
    found = EXPECTED * 2 - 2  # trainings of searched networks
    assert counted(more, trainer, records=records, repeated=chosen(records, 2)) == found / 2


def test_the_forecast_names_every_part_and_what_is_past() -> None:
    parts = [
        Stage("learning rates", 24, 10.0),
        Stage("trials", 48, 96.0, done=24),
        Stage("trainings", 1, 60.0),
        Stage(END, 1, 5.0),
    ]
    assert told(parts, so_far=17.0) == (
        "forecast: about 2 min 3 s from here (17 s so far): 10 s for finding the learning rates, "
        "48 s for 24 trials, 1 min 0 s for 1 training and 5.0 s for the times and the report"
    )
    assert told(parts[3:], 1.0).endswith("so far): 5.0 s for the times and the report")


def test_a_stage_that_must_end_before_it_is_done_takes_the_time_until_then(
    clock: list[float],
) -> None:
    clock[0] = 100.0
    cut = Stage("trials", 48, 96.0, ends_at=120.0)
    assert (cut.seconds_left(), cut.seconds_left(pace=0.125), cut.fits) == (20.0, 12.0, False)
    assert told([cut], 5.0) == (
        "forecast: about 20 s from here (5.0 s so far): 20 s for as many of 48 trials as fit in"
    )
    cut.done = 12
    cut.cut_short()
    assert (cut.seconds_left(), cut.seconds_done) == (0.0, 24.0)
    assert Stage("trials", 48, 10.0, ends_at=90.0).seconds_left() == 0.0
