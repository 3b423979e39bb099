"""The study of a run: an ordinary Optuna study, in one SQLite file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.study import Study, StudyDirection
from sqlalchemy.exc import SQLAlchemyError

from results.database import one_line
from results.store import plain_errors
from search.policies.starts import Start
from search.study.peers import OpenStudy
from spaces import UserError

DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)
"""Accuracy at the top rung, flops."""


@contextmanager
def open_study(path: Path, sampler: BaseSampler | None = None) -> Iterator[OpenStudy]:
    """Open the study in ``path``, or create it; for one process at a time.

    Args:
        sampler: may also be set later; no trial is asked for before.

    Raises:
        UserError: the file cannot be written, or is no study.
    """
    try:
        if not path.exists():
            _create(path)
        storage = RDBStorage(
            f"sqlite:///{path.resolve()}", engine_kwargs={"connect_args": {"timeout": 60}}
        )
        write_ahead(storage)
        study = study_in(storage, "search", sampler)
    except (SQLAlchemyError, StorageInternalError) as error:
        raise UserError(
            f"{path} must be a study that can be written, but got: {one_line(error)}"
        ) from error
    with closing(storage):
        yield OpenStudy(study)


def _create(path: Path) -> None:
    """All of it or nothing: a kill while Optuna makes its tables would leave some without indices,
    and then a study of the same name is made at every start."""
    new = path.with_name(f"{path.name}.new")
    for left in path.parent.glob(f"{new.name}*"):  # by a process that was killed here
        left.unlink()
    storage = RDBStorage(f"sqlite:///{new.resolve()}")
    with closing(storage):
        study_in(storage, "search")
    new.replace(path)


def study_in(storage: RDBStorage, name: str, sampler: BaseSampler | None = None) -> Study:
    """The study of that name, created if need be; Optuna's log is quiet from then on."""
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna.create_study(
        storage=storage,
        study_name=name,
        directions=DIRECTIONS,
        sampler=sampler,
        load_if_exists=True,
    )


def enqueue(study: Study, starts: Iterable[Start]) -> None:
    """Enqueue the starts before all proposals of the sampler; those enqueued before are skipped."""
    with plain_errors("the study"):
        for start in starts:
            attributes = {"origin": start.origin, "budget": str(start.budget)}
            study.enqueue_trial(start.params, user_attrs=attributes, skip_if_exists=True)


def write_ahead(storage: RDBStorage) -> None:
    """Let SQLite commit without waiting for the disk.

    A trial makes some fifty commits. Committed data survives a kill of this process, and a power
    cut leaves a consistent database.
    """
    sqlalchemy.event.listen(storage.engine, "connect", _write_ahead)
    storage.engine.dispose()  # also drops the connection that made the tables


@contextmanager
def closing(storage: RDBStorage) -> Iterator[None]:
    """Close the storage's connections at the end of the block."""
    try:
        yield
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _write_ahead(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
