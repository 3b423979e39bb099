"""The study: an ordinary Optuna study in one SQLite file, made to survive kills cheaply."""

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
from optuna.study import Study
from sqlalchemy.exc import SQLAlchemyError

from results.store import plain_errors
from search.starts import Start
from spaces import UserError

NAME = "search"


@contextmanager
def open_study(path: Path, sampler: BaseSampler) -> Iterator[Study]:
    """The study in ``path``, made if it is not there.

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
        sqlalchemy.event.listen(storage.engine, "connect", _write_ahead)
        storage.engine.dispose()  # the connection that made the tables had no such care
        study = optuna.create_study(
            storage=storage,
            study_name=NAME,
            directions=["maximize", "minimize"],  # accuracy at the top rung, flops
            sampler=sampler,
            load_if_exists=True,
        )
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = getattr(error, "orig", None) or error
        raise UserError(f"{path} must be a study that can be written, but got: {cause}") from error
    try:
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def enqueue(study: Study, starts: Iterable[Start]) -> None:
    """Put the starts before everything that the sampler proposes; once, however often called."""
    with plain_errors("study.db"):
        for start in starts:
            about = {"origin": start.origin, "budget": str(start.budget)}
            study.enqueue_trial(dict(start.policy), user_attrs=about, skip_if_exists=True)


def _write_ahead(connection: Any, _record: Any) -> None:
    # A trial is some fifty commits. With a write-ahead log none of them waits for the disk; what
    # was committed survives the death of this process, and a power cut leaves a sound database.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
