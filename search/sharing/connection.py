"""An Optuna storage that waits for a lost database and then repeats the operation."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from results import database
from results.optuna_private import wrap_operations
from search.errors import DatabaseLost
from search.sharing import timing
from search.study.storage import write_ahead

log = logging.getLogger(__name__)

ATTEMPTS = 10
"""How often an operation is tried before its error is raised."""

T = TypeVar("T")


def _repeated(operation: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(operation)
    def again(self: RDBStorage, *args: Any, **kwargs: Any) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return operation(self, *args, **kwargs)
            except StorageInternalError as error:
                if not getattr(error.__cause__, "connection_invalidated", False):
                    raise
        return operation(self, *args, **kwargs)

    return again


@wrap_operations(_repeated)
class WaitingStorage(RDBStorage):
    """Optuna's storage; an operation whose connection breaks is repeated on a new one.

    Repeating is safe: attributes are set again, and a trial that was created twice is one that no
    process works on, and such trials are cleared away.
    """


def connected(url: str, *, waits: bool = True, **options: Any) -> RDBStorage:
    """The storage at ``url``; its tables are created if need be.

    Args:
        waits: whether later operations wait for a database that is away.
        options: of ``RDBStorage``.

    Raises:
        UserError: no such database, no answer, or a wrong password; within 15 seconds.
    """
    full_url, engine = database.optuna_url(url), database.engine_options(url)
    for attempt in range(ATTEMPTS):
        try:
            storage = WaitingStorage(full_url, engine_kwargs=engine, **options)
            break
        except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError) as error:
            if attempt == ATTEMPTS - 1 or not _made_by_another(error):
                raise database.refused(url, error) from error
            time.sleep(0.1)
    if storage.engine.dialect.name == "sqlite":
        shared_sqlite(storage)
    if waits:
        sqlalchemy.event.listen(storage.engine, "do_connect", _waiting(database.shown(url)))
    return storage


def shared_sqlite(storage: RDBStorage) -> None:
    """Let several processes write to one SQLite file.

    A transaction takes the write lock when it begins. SQLite's own way, to take it at the first
    write, lets two processes read the same waiting trial and both take it.
    """

    def manual(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    sqlalchemy.event.listen(storage.engine, "connect", manual)
    sqlalchemy.event.listen(storage.engine, "begin", begin)
    write_ahead(storage)


def _made_by_another(error: BaseException) -> bool:
    """Whether another process has just created the same tables in an empty database."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, IntegrityError | ProgrammingError) or "already exists" in str(cause)


def _waiting(name: str) -> Callable[..., Any]:
    """Connect, retrying for ``RECONNECT_S``; after it has given up once, without retries."""
    lost = False

    def connect(dialect: Any, _record: Any, args: Any, options: Any) -> Any:
        nonlocal lost
        patience = timing.RECONNECT_S
        began, pause = time.monotonic(), patience / 600
        while True:
            try:
                return dialect.connect(*args, **options)
            except dialect.loaded_dbapi.Error as error:
                if lost or time.monotonic() - began > patience:
                    lost = True
                    raise DatabaseLost(
                        f"{name} must answer, but for {patience:.0f} seconds it gave: "
                        f"{database.one_line(error)}; what was measured is kept in the run's folder"
                    ) from error
                if pause == patience / 600:
                    log.warning("%s does not answer; trying for %.0f seconds", name, patience)
            time.sleep(pause)
            pause = min(2 * pause, patience / 12)

    return connect
