"""The study of a run, opened for reading: in its folder or in a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from results import database
from results.database import one_line
from results.text import listed
from spaces.errors import UserError


def open_run(folder: Path, storage: str | None = None) -> AbstractContextManager[optuna.Study]:
    """The study of the run in ``folder``, for reading; a search may be writing to it.

    Args:
        storage: the URL of its database; by default that of ``config.json``, which has no
            password: it is then PostgreSQL's to find, in PGPASSWORD or ``~/.pgpass``.

    Raises:
        UserError: there is no study, or it cannot be read.
    """
    kept, name = _kept_in(folder)
    url = storage or kept
    if url is None:
        return open_study(folder / "study.db")
    try:
        reader = _reader(database.optuna_url(url), database.engine_options(url))
        return nullcontext(optuna.load_study(study_name=name, storage=reader))
    except KeyError:
        raise UserError(f"{database.shown(url)} must hold study {name!r}, but does not") from None
    except UserError:
        raise
    except Exception as error:  # SQLAlchemy's and the driver's errors
        raise database.refused(url, error) from error


@contextmanager
def open_study(path: Path) -> Iterator[optuna.Study]:
    """The study in a run's ``study.db``, for reading; a search may be writing to it.

    Raises:
        UserError: there is no such file, or it is not an Optuna study.
    """
    if not path.is_file():
        raise UserError(f"{path} must exist, but it does not; give the folder of a run")
    if path.stat().st_size == 0:
        raise _damaged(path, "it is empty")
    try:
        # The timeout waits out the writes of a search that is still running.
        storage = _reader(f"sqlite:///{path.resolve()}", {"connect_args": {"timeout": 60}})
        names = optuna.get_all_study_names(storage)
    except UserError:
        raise
    except Exception as error:  # those of SQLAlchemy, of Optuna, and of a version table's JSON
        raise _damaged(path, f"reading it gave: {one_line(error)}") from error
    if not names:
        raise _damaged(path, "it holds none")
    partly = (SQLAlchemyError, json.JSONDecodeError, optuna.exceptions.StorageInternalError)
    try:
        yield optuna.load_study(study_name=names[0], storage=storage)
    except partly as error:  # some pages can be read, some not
        raise _damaged(path, f"reading it gave: {one_line(error)}") from error


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} must be an Optuna study, but {why}; {remedy(path.parent)}")


RESULTS = ("trials.csv", "finals.csv", "report.html", "models/")
"""What people look for in a run's folder."""


def remedy(folder: Path) -> str:
    """What to do where a run has lost its study, and which of its results are still there."""
    kept = [name for name in RESULTS if (folder / name).exists()]
    if not kept:
        return "put a copy of it there, or search again under another --name"
    return (
        "put a copy of it there, or search again under another --name; tables alone do not make a "
        f"study, but the results so far are still in {listed(kept)} there"
    )


def _reader(url: str, options: dict[str, Any]) -> RDBStorage:
    # NullPool leaves no connection behind.
    options = options | {"poolclass": NullPool}
    engine = sqlalchemy.create_engine(url, **options)
    with engine.connect() as connection:
        made = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).all()
    if not made:
        # Optuna would write the missing version, and the process that makes the study then fails.
        raise UserError("the study is only being made; try again in a moment")
    # skip_table_creation: reading must not turn a stranger's file into an Optuna database.
    return RDBStorage(url, engine_kwargs=options, skip_table_creation=True)


def _kept_in(folder: Path) -> tuple[str | None, str]:
    """The URL in the run's ``config.json``, ``None`` for ``study.db``, and the study's name."""
    try:
        run = json.loads((folder / "config.json").read_text())["config"]["run"]
        return run.get("storage"), run.get("name") or folder.name
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, folder.name
