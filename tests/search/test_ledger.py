"""The ledger's own matters: what is not measured twice, and what a decision costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from evaluators import Alike, ToyEvaluator, toy
from optuna.trial import TrialState

from results import TrialRecord, load_records
from results.record import Candidate
from results.rules import next_rung
from search.evaluation.jobs import RungResult
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.policies.seeds import policy_seed, trial_seed
from search.study import history
from search.study.ledger import Ledger
from search.study.peers import OpenStudy
from search.study.storage import open_study
from spaces import Budget, Policy, Space

HALF = Budget.parse("0.5")


@pytest.fixture
def study(space: Space, tmp_path: Path) -> Iterator[optuna.Study]:
    sampler = BudgetSampler(make("random", Plan(0, 8)), space, [HALF], seed=0)
    with open_study(tmp_path / "study.db", sampler) as opened:
        yield opened.study


def run_through(ledger: Ledger, evaluator: ToyEvaluator, record: TrialRecord) -> TrialRecord:
    """Measured rung by rung until it ends."""
    while record.state == "running":
        rung = next_rung(record)
        result = evaluator.evaluate_rung(
            Candidate(record.policy, record.criterion), rung, record.seed
        )
        record = ledger.add(record, result)
    return record


def begin(ledger: Ledger) -> TrialRecord:
    record = ledger.next()
    assert record is not None
    return record


def test_the_same_widths_under_another_criterion_are_another_trial(
    space: Space, tmp_path: Path
) -> None:
    criteria = ("l1", "second_order")
    evaluator = toy(space, explore=1.0, criterion="search", criteria=criteria)
    sampler = BudgetSampler(make("random", Plan(0, 8)), space, [HALF], seed=0, criteria=criteria)
    with open_study(tmp_path / "study.db", sampler) as opened:
        study = opened.study
        for criterion in ("l1", "second_order", "l1"):
            study.enqueue_trial({**space.uniform(HALF), "criterion": criterion})
        ledger = Ledger(OpenStudy(study), evaluator, 4, lambda _: None)
        first, other = (run_through(ledger, evaluator, begin(ledger)) for _ in range(2))
        assert begin(ledger).number == 3
        twin = load_records(study)[2]
    assert (first.policy, first.seed) == (other.policy, other.seed)
    assert (first.criterion, other.criterion) == criteria
    assert (other.reason, twin.reason) == ("", "as trial 0")


def test_a_duplicate_of_a_complete_trial_ends_at_once_and_optuna_is_told(
    study: optuna.Study, space: Space
) -> None:
    evaluator = toy(space, explore=1.0)
    for _ in range(2):
        study.enqueue_trial(dict(space.uniform(HALF)))
    ledger = Ledger(OpenStudy(study), evaluator, 3, lambda _: None)
    first = run_through(ledger, evaluator, begin(ledger))
    assert begin(ledger).number == 2  # the duplicate, trial 1, was not handed out
    twin = load_records(study)[1]
    assert (twin.policy, twin.seed) == (first.policy, first.seed)
    assert (twin.proxies, twin.accuracy, twin.epochs) == (
        first.proxies,
        first.accuracy,
        first.epochs,
    )
    assert (twin.state, twin.seconds, twin.reason) == ("complete", 0.0, "as trial 0")
    told = study.get_trials()[1]
    assert (told.state, told.values) == (TrialState.COMPLETE, [first.val_accuracy, first.flops])


def test_a_duplicate_is_measured_only_where_its_twin_was_not(
    study: optuna.Study, space: Space
) -> None:
    evaluator = toy(space, explore=1.0)
    for _ in range(2):
        study.enqueue_trial(dict(space.uniform(HALF)))
    ledger = Ledger(OpenStudy(study), evaluator, 2, lambda _: None)
    first = begin(ledger)
    result = evaluator.evaluate_rung(Candidate(first.policy, first.criterion), 0, first.seed)
    first = ledger.add(first, result)
    second = begin(ledger)
    assert (second.proxies, second.rung, second.state) == (result.proxies, 0, "running")
    first = ledger.add(first, RungResult(1, 5.0, accuracy=0.9, epochs=1))
    second = ledger.add(second, RungResult(1, 5.0, accuracy=0.8, epochs=1))  # was out by then
    assert (first.accuracy, second.accuracy) == ((0.9,), (0.8,))
    assert run_through(ledger, evaluator, first).state == "complete"


def test_a_failure_is_no_result_to_take_over(study: optuna.Study, space: Space) -> None:
    evaluator = toy(space, explore=1.0)
    for _ in range(2):
        study.enqueue_trial(dict(space.uniform(HALF)))
    ledger = Ledger(OpenStudy(study), evaluator, 2, lambda _: None)
    first = begin(ledger)
    candidate = Candidate(first.policy, first.criterion)
    failed = toy(space, trouble=Alike(0)).evaluate_rung(candidate, 0, first.seed)
    assert ledger.add(first, failed).state == "failed"
    assert (begin(ledger).number, ledger.next()) == (1, None)


def test_a_decision_reads_what_changed_and_not_the_whole_study(
    study: optuna.Study, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    record_of = history.record_of
    monkeypatch.setattr(history, "record_of", lambda t: read.append(t.number) or record_of(t))
    evaluator = toy(space)
    ledger = Ledger(OpenStudy(study), evaluator, 30, lambda _: None)
    while (record := ledger.next()) is not None:
        run_through(ledger, evaluator, record)
    assert sorted(read) == list(range(30))  # each once, when it had ended


def test_others_may_say_where_new_trials_come_from(study: optuna.Study, space: Space) -> None:
    evaluator = toy(space, explore=1.0)
    ledger = Ledger(OpenStudy(study), evaluator, 2, lambda _: None)
    asked: list[int] = []

    def ask() -> optuna.Trial:
        trial = study.ask()
        asked.append(trial.number)
        return trial

    assert ledger.next(ask) is not None
    assert ledger.next(ask) is not None
    assert ledger.next(ask) is None
    assert asked == [0, 1]


def test_a_policy_has_one_seed_in_a_run(space: Space) -> None:
    policy, other = space.uniform(HALF), space.uniform(Budget.parse("0.4"))
    assert policy_seed(0, policy) == policy_seed(0, Policy(dict(reversed(dict(policy).items()))))
    seeds = {policy_seed(0, policy), policy_seed(1, policy), policy_seed(0, other)}
    assert len(seeds) == 3
    assert trial_seed(0, 1) not in seeds
