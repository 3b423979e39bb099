"""Which trials of a study count where processes died."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from results.optuna_private import storage_of, trial_id_of
from results.store import RECORD, SUPERSEDES
from search.study.history import TrialHistory


@pytest.fixture
def study() -> optuna.Study:
    """Five trials were enqueued."""
    made = optuna.create_study()
    for number in range(5):
        made.enqueue_trial({"x": number})
    return made


def record(study: optuna.Study, number: int) -> None:
    trial_id = trial_id_of(study.trials[number])
    storage_of(study).set_trial_user_attr(trial_id, RECORD, "{}")


def supersede(study: optuna.Study, number: int) -> None:
    study.add_trial(
        optuna.create_trial(state=TrialState.WAITING, user_attrs={SUPERSEDES: number, RECORD: "{}"})
    )


def counting(study: optuna.Study, total: int) -> list[int]:
    history = TrialHistory(study, total)
    history.update()
    return [trial.number for trial in study.trials if history.counts(trial.number)]


def test_the_first_count(study: optuna.Study) -> None:
    assert counting(study, 4) == [0, 1, 2, 3]
    assert counting(study, 9) == [0, 1, 2, 3, 4]


def test_one_that_supersedes_has_the_others_place_and_none_that_waits_takes_it(
    study: optuna.Study,
) -> None:
    dead = study.ask()
    record(study, dead.number)
    study.tell(dead, state=TrialState.FAIL)
    supersede(study, dead.number)
    assert counting(study, 4) == [1, 2, 3, 5]
    supersede(study, 5)
    assert counting(study, 4) == [1, 2, 3, 6]


def test_one_that_ended_before_it_had_a_policy_leaves_its_place(study: optuna.Study) -> None:
    study.tell(study.ask(), state=TrialState.FAIL)
    assert counting(study, 4) == [1, 2, 3, 4]
    history = TrialHistory(study, 9)
    history.update()
    assert history.to_ask == 4 + 5  # those that wait, and new ones


def test_one_that_supersedes_and_ends_without_a_policy_leaves_the_place_too(
    study: optuna.Study,
) -> None:
    study.tell(study.ask(), state=TrialState.FAIL)
    study.add_trial(optuna.create_trial(state=TrialState.FAIL, user_attrs={SUPERSEDES: 0}))
    assert counting(study, 4) == [1, 2, 3, 4]
