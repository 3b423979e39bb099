"""The study: an ordinary Optuna study, in one SQLite file or in a database for several machines."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy.exc import SQLAlchemyError

from results.database import one_line
from results.store import plain_errors
from search.starts import Start
from search.study.company import Company
from search.study.connection import connected, write_ahead
from search.study.sharing import Sharing
from search.study.unsaved import Unsaved
from spaces import UserError

NAME = "search"
"""Of the study in ``study.db``; in a database that others use it has the run's name."""

DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)
"""Accuracy at the top rung, flops."""


class SharedStudy(optuna.Study):
    """An Optuna study on which other processes may work too."""

    company: Company


@contextmanager
def open_study(path: Path, sampler: BaseSampler) -> Iterator[optuna.Study]:
    """The study in ``path``, made if it is not there; for one process at a time.

    >>> with open_study(Path("runs/mine/study.db"), sampler) as study:
    ...     study.ask()

    Raises:
        UserError: the file cannot be written, or is no study.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        storage = RDBStorage(
            f"sqlite:///{path.resolve()}", engine_kwargs={"connect_args": {"timeout": 60}}
        )
        write_ahead(storage)
        study = optuna.create_study(
            storage=storage,
            study_name=NAME,
            directions=DIRECTIONS,
            sampler=sampler,
            load_if_exists=True,
        )
    except (SQLAlchemyError, StorageInternalError) as error:
        raise UserError(
            f"{path} must be a study that can be written, but got: {one_line(error)}"
        ) from error
    with _closed(storage):
        yield study


@contextmanager
def share_study(
    url: str, name: str, sampler: BaseSampler, owner: str, unsaved: Path
) -> Iterator[SharedStudy]:
    """The study of that name in the database at ``url``, made if it is not there.

    >>> with share_study(url, "mine", sampler, owner="db1:/runs/mine", unsaved=folder) as study:
    ...     study.company.shared
    True

    Args:
        owner: names this run's folder among all that share the study.
        unsaved: where results wait while the database is away.

    Raises:
        UserError: the database cannot be used.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    storage = connected(url)
    with _closed(storage):
        optuna.create_study(
            storage=storage, study_name=name, directions=DIRECTIONS, load_if_exists=True
        )
        study = SharedStudy(name, storage, sampler=sampler)
        beating = Sharing(study, partial(connected, url, patient=False), owner, Unsaved(unsaved))
        with beating.alive() as study.company:
            yield study


def peek(url: str, name: str) -> dict[str, Any]:
    """The attributes of the study of that name; none where there is no such study.

    Raises:
        UserError: the database cannot be used.
    """
    storage = connected(url)
    with _closed(storage):
        try:
            return storage.get_study_user_attrs(storage.get_study_id_from_name(name))
        except KeyError:
            return {}


def enqueue(study: optuna.Study, starts: Iterable[Start]) -> None:
    """Put the starts before everything that the sampler proposes; once, however often called."""
    with plain_errors("the study"):
        for start in starts:
            about = {"origin": start.origin, "budget": str(start.budget)}
            study.enqueue_trial(start.params, user_attrs=about, skip_if_exists=True)


@contextmanager
def _closed(storage: RDBStorage) -> Iterator[None]:
    try:
        yield
    finally:
        storage.remove_session()
        storage.engine.dispose()
