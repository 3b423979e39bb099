"""Every use of a private name of Optuna: a new version of it breaks here and nowhere else.

Each of these has a test of its own against the real Optuna.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container
from typing import Any, TypeVar

import sqlalchemy
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

C = TypeVar("C", bound=type)

STORAGE_OPERATIONS = (
    "_create_new_trial",
    "_get_trials",
    "_set_trial_param",
    "create_new_study",
    "get_study_directions",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_system_attrs",
    "get_study_user_attrs",
    "get_trial",
    "get_trial_id_from_study_id_trial_number",
    "record_heartbeat",
    "set_study_system_attr",
    "set_study_user_attr",
    "set_trial_intermediate_value",
    "set_trial_state_values",
    "set_trial_system_attr",
    "set_trial_user_attr",
)
"""Methods of `RDBStorage` that a study calls; its cache calls three private ones."""


def storage_of(study: Study) -> BaseStorage:
    """The study's storage; it alone sets attributes of trials other than a new one.

    ``Trial(study, id)`` is the public way, but it calls the sampler and so moves its seed.
    """
    return study._storage


def study_id_of(study: Study) -> int:
    """The study's key in its storage; the public API has its name only."""
    return study._study_id


def trial_id_of(trial: Trial | FrozenTrial) -> int:
    """The trial's key in its storage; the public API has its number in the study only."""
    return trial._trial_id


def record_heartbeat(study: Study, trial_id: int) -> None:
    """Record that the trial's process is alive; publicly only ``study.optimize`` does so."""
    study._storage.record_heartbeat(trial_id)  # type: ignore[attr-defined]


def was_decided(trial: FrozenTrial) -> bool:
    """Whether ``enqueue_trial`` chose its parameters; only a system attribute tells."""
    return "fixed_params" in trial.system_attrs


def wrap_operations(wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[C], C]:
    """Decorate a subclass of ``RDBStorage``: each of `STORAGE_OPERATIONS` goes through ``wrap``.

    A study reaches its storage through a cache, which admits of no proxy in place of the storage.
    """

    def decorate(storage: C) -> C:
        for name in STORAGE_OPERATIONS:
            setattr(storage, name, wrap(getattr(storage, name)))
        return storage

    return decorate


def study_attributes() -> sqlalchemy.Table:
    """The table of studies' system attributes; the public API has no conditional update."""
    from optuna.storages._rdb.models import StudySystemAttributeModel

    table: sqlalchemy.Table = StudySystemAttributeModel.__table__
    return table


def take_asked(search: Any, tune_id: str) -> Trial:
    """The Optuna trial behind one of Ray's ``OptunaSearch``, which gives its parameters only."""
    trial: Trial = search._ot_trials.pop(tune_id)
    return trial


class StudyView(ABC):
    """A study whose trials are those of `get_trials`.

    Samplers read trials by the private ``_get_trials``, and all else they need of a study.
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    @abstractmethod
    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As of a study."""

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002  (Optuna's own signature)
    ) -> list[FrozenTrial]:
        return self.get_trials(deepcopy, states)
