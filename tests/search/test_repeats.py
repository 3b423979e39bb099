"""Repeats: policies of the top rung trained once more, with another seed."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from evaluators import Odd, toy
from trainings import Killed, Remembering, Store

import spaces
from results import TrialRecord
from search import models
from search.plans.repeats import Repeats, chosen
from spaces import Policy, Space


@pytest.fixture(scope="module")
def space() -> Space:
    torch.manual_seed(0)
    model = models.build("digits_cnn", classes=10, in_channels=1)
    return spaces.discover(model, (torch.zeros(1, 1, 8, 8),))


def made(
    number: int, accuracy: tuple[float, ...], policy: Policy, **changes: object
) -> TrialRecord:
    record = TrialRecord(
        number, policy, "tpe", 1, 0.5, 1, accuracy=accuracy, epochs=(1, 3), state="complete", seed=7
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def records(space: Space) -> list[TrialRecord]:
    accuracies = (0.5, 0.9, 0.7, 0.6, 0.8)
    found = [
        made(k, (0.4, accuracy), space.uniform(0.3 + k / 10), seed=k)
        for k, accuracy in enumerate(accuracies)
    ]
    return [*found, made(9, (0.99,), space.uniform(0.2), state="stopped")]


def test_some_of_those_at_the_top_rung_are_drawn_whatever_their_accuracy(space: Space) -> None:
    there = records(space)
    drawn = [r.number for r in chosen(there, 3)]
    assert len(drawn) == len(set(drawn)) == 3
    assert drawn == [r.number for r in chosen(there, 3)]
    better = [replace(r, accuracy=(0.4, 1 - r.val_accuracy)) for r in there[:5]]
    assert drawn == [r.number for r in chosen(better, 3)]
    assert [r.number for r in chosen(there, 10)] == [0, 1, 2, 3, 4]
    assert chosen(there, 0) == chosen([], 6) == []


def test_over_many_draws_every_place_is_equally_likely(space: Space) -> None:
    there = records(space)[:5]
    drawn = Counter(
        r.number
        for seed in range(400)
        for r in chosen([replace(one, seed=seed) for one in there], 2)
    )
    # 160 expected of each; the standard deviation of such a count is below 10.
    assert all(110 < drawn[number] < 210 for number in range(5))


def test_a_repeat_is_the_trial_with_another_seed_and_only_its_top_rung(space: Space) -> None:
    evaluator, store, there = toy(space, rungs=(1, 3), repeats=2), Store(), records(space)
    store.carry_out(Repeats(there, evaluator), evaluator, Remembering())
    assert [len(rows) for rows in store.rows] == [0, 1, 2]
    for again in store.rows[-1]:
        assert isinstance(again, TrialRecord)
        assert again.policy == there[again.number].policy
        assert again.seed not in {r.seed for r in there}
        assert math.isnan(again.accuracy[0])
        assert again.accuracy[1] == evaluator.worth(again.policy)


def test_it_is_trained_as_the_top_rung_was_and_not_tested(space: Space) -> None:
    evaluator, record = toy(space, rungs=(1, 3), train="scratch-b", repeats=5), records(space)[0]
    job = Repeats(records(space), evaluator).jobs[0]
    assert job.spec == evaluator.specs.in_mode(record.policy, 3)
    assert (job.candidate.policy, job.tested, job.returns_weights) == (record.policy, False, False)


def test_what_was_drawn_from_fewer_trials_stays_drawn(space: Space) -> None:
    there = records(space)
    first = chosen(there[:3], 2)
    numbers = {r.number for r in first}
    for number in range(2, 6):
        again = {r.number for r in chosen(there, number, numbers)}
        assert numbers <= again
        assert len(again) == min(number, len(there))


def test_what_was_repeated_is_not_repeated_again_and_failures_are_left_out(space: Space) -> None:
    evaluator, store, engine = toy(space, repeats=5), Store(), Remembering()
    plan = Repeats(records(space), evaluator)
    with pytest.raises(Killed):
        store.carry_out(plan, evaluator, Remembering(cut=3))
    rows = store.carry_out(plan, evaluator, engine)
    assert len(engine.done) == 2
    assert [r.number for r in rows] == [0, 1, 2, 3, 4]
    odd = [job.seed % 2 for job in plan.jobs]
    failing = Store()
    made = failing.carry_out(plan, toy(space, Odd(), repeats=5), Remembering())
    assert 0 < sum(odd) < 5
    assert len(made) == 5 - sum(odd)
    assert len(failing.trainings) == 5
