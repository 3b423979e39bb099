"""Optuna's private names do what they are used for; one test each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from results import optuna_private
from results.optuna_private import (
    STORAGE_OPERATIONS,
    StudyView,
    record_heartbeat,
    storage_of,
    study_attributes,
    study_id_of,
    take_asked,
    trial_id_of,
    was_decided,
    wrap_operations,
)

WIDTH = {"width": IntDistribution(1, 8)}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def storage(tmp_path: Path) -> RDBStorage:
    return RDBStorage(f"sqlite:///{tmp_path}/study.db")


@pytest.fixture
def study(storage: RDBStorage) -> optuna.Study:
    optuna.create_study(storage=storage, study_name="other")
    return optuna.create_study(storage=storage, study_name="mine")


def test_a_studys_storage_sets_attributes_without_calling_the_sampler(study: optuna.Study) -> None:
    study.sampler = None  # type: ignore[assignment]
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    (trial,) = study.trials
    storage_of(study).set_trial_user_attr(trial_id_of(trial), "record", "text")
    storage_of(study).set_trial_system_attr(trial_id_of(trial), "drawn", True)
    assert study.trials[0].user_attrs == {"record": "text"}
    assert storage_of(study).get_trial_system_attrs(trial_id_of(trial)) == {"drawn": True}


def test_a_studys_id_is_its_key_in_the_storage(study: optuna.Study) -> None:
    assert study_id_of(study) == 2
    assert storage_of(study).get_study_name_from_id(study_id_of(study)) == "mine"


def test_a_trials_id_is_its_key_in_the_storage(study: optuna.Study, storage: RDBStorage) -> None:
    optuna.load_study(study_name="other", storage=storage).ask()
    asked = study.ask()
    (frozen,) = study.trials
    assert (asked.number, trial_id_of(asked), trial_id_of(frozen)) == (0, 2, 2)
    assert storage_of(study).get_trial(trial_id_of(asked)).number == 0


def test_a_heartbeat_is_recorded(study: optuna.Study, storage: RDBStorage) -> None:
    def beats() -> int:
        with storage.engine.connect() as connection:
            counted = connection.execute(sqlalchemy.text("SELECT COUNT(*) FROM trial_heartbeats"))
            return int(counted.scalar_one())

    trial = study.ask()
    assert beats() == 0
    record_heartbeat(study, trial_id_of(trial))
    assert beats() == 1


def test_an_enqueued_trial_is_decided_and_another_is_not(study: optuna.Study) -> None:
    study.enqueue_trial({"width": 3})
    for _ in range(2):
        study.ask(WIDTH)
    assert [was_decided(trial) for trial in study.trials] == [True, False]


@pytest.mark.parametrize("name", STORAGE_OPERATIONS)
def test_a_storage_has_the_operation(name: str) -> None:
    assert callable(getattr(RDBStorage, name))


def test_all_that_a_study_does_goes_through_the_wrapped_operations(tmp_path: Path) -> None:
    called: set[str] = set()

    def noted(operation: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(operation)
        def call(*args: Any, **kwargs: Any) -> Any:
            called.add(operation.__name__)
            return operation(*args, **kwargs)

        return call

    @wrap_operations(noted)
    class Noted(RDBStorage):
        pass

    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=Noted(url), study_name="mine")
    study.set_user_attr("begun", True)
    study.enqueue_trial({"width": 3})
    trial = study.ask(WIDTH)
    trial.set_user_attr("record", "text")
    trial.report(0.5, step=0)
    study.tell(trial, 1.0)
    assert study.user_attrs == {"begun": True}
    assert len(study.get_trials()) == 1
    record_heartbeat(study, trial_id_of(trial))
    loaded = optuna.load_study(study_name="mine", storage=Noted(url))
    storage_of(loaded).set_trial_system_attr(trial_id_of(study.ask()), "drawn", True)
    storage_of(loaded).set_study_system_attr(study_id_of(loaded), "scores", "text")
    assert storage_of(loaded).get_study_system_attrs(study_id_of(loaded)) == {"scores": "text"}
    assert storage_of(loaded).get_trial_id_from_study_id_trial_number(study_id_of(loaded), 0) == 1
    assert storage_of(loaded).get_study_name_from_id(study_id_of(loaded)) == "mine"
    assert storage_of(loaded).get_trial(1).params == {"width": 3}
    assert called == set(STORAGE_OPERATIONS)


def test_a_studys_system_attributes_are_rows_of_the_table(
    study: optuna.Study, storage: RDBStorage
) -> None:
    storage_of(study).set_study_system_attr(study_id_of(study), "lease", "held")
    with storage.engine.connect() as connection:
        rows = connection.execute(sqlalchemy.select(study_attributes())).mappings().all()
    kept = [(row["study_id"], row["key"], row["value_json"]) for row in rows]
    assert (study_id_of(study), "lease", '"held"') in kept


def test_rays_search_hands_out_the_trial_that_it_asked_for() -> None:
    ray = pytest.importorskip("ray.tune.search.optuna", reason="Ray is not installed")
    search = ray.OptunaSearch(space=WIDTH, metric="accuracy", mode="max", study_name="mine")
    params = search.suggest("a")
    trial = take_asked(search, "a")
    assert isinstance(trial, optuna.Trial)
    assert trial.params == params
    with pytest.raises(KeyError):
        take_asked(search, "a")


class Half(StudyView):
    """Shows the trials of even numbers."""

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy, states)[::2]


def test_a_sampler_sees_the_trials_of_a_view_and_else_the_study() -> None:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(n_startup_trials=3, seed=0))
    for value in range(5):
        study.tell(study.ask(WIDTH), float(value))
    seen: list[int] = []

    class Watched(Half):
        def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
            found = super().get_trials(deepcopy, states)
            seen.extend(trial.number for trial in found)
            return found

    view: Any = Watched(study)
    assert view.direction == study.direction
    asked = study.ask()
    frozen = study.trials[trial_id_of(asked)]
    study.sampler.sample_independent(view, frozen, "width", WIDTH["width"])
    assert set(seen) == {0, 2, 4}


def test_every_one_of_them_has_a_test_here() -> None:
    tested = set(globals())
    public = {
        name
        for name, thing in vars(optuna_private).items()
        if getattr(thing, "__module__", "") == optuna_private.__name__ and name[0] != "_"
    }
    assert public - {"C"} <= tested
