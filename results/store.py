"""Optuna storage ↔ records. The study is the truth.

>>> with open_run(Path("runs/digits")) as study:
...     trials = table(load_records(study))
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from results import database
from results.arms import Comparison
from results.beside import BesideRecord
from results.database import one_line
from results.optuna_private import storage_of, study_id_of
from results.record import FinalRecord, TrialRecord
from results.sensitivity import SensitivityRecord
from results.training import TrainingRecord
from spaces.errors import UserError

RECORD, FINALS, PROVENANCE = "record", "finals", "provenance"
REPEATS, BESIDE = "repeats", "beside"
COMPARISON, SENSITIVITY = "comparison", "sensitivity"
"""Where records live among Optuna's user attributes."""

SUPERSEDES = "supersedes"
"""The number of a dead process's trial, at the trial that goes on in its place."""

RESUME = "go on with --resume"

T = TypeVar("T")


@contextmanager
def open_run(folder: Path, storage: str | None = None) -> Iterator[optuna.Study]:
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
        with open_study(folder / "study.db") as study:
            yield study
        return
    try:
        study = optuna.load_study(
            study_name=name, storage=_reader(database.optuna_url(url), database.engine_options(url))
        )
    except KeyError:
        raise UserError(f"{database.shown(url)} must hold study {name!r}, but does not") from None
    except UserError:
        raise
    except Exception as error:  # SQLAlchemy's and the driver's errors
        raise database.refused(url, error) from error
    yield study


@contextmanager
def open_study(path: Path) -> Iterator[optuna.Study]:
    """The study in a run's ``study.db``, for reading; a search may be writing to it.

    Raises:
        UserError: there is no such file, or it is not an Optuna study.
    """
    if not path.is_file():
        raise UserError(f"{path} must exist, but it does not; give the folder of a run")
    try:
        # The timeout waits out the writes of a search that is still running.
        storage = _reader(f"sqlite:///{path.resolve()}", {"connect_args": {"timeout": 60}})
        names = optuna.get_all_study_names(storage)
    except UserError:
        raise
    except Exception as error:  # those of SQLAlchemy, of Optuna, and of a version table's JSON
        raise _damaged(path, error) from error
    if not names:
        raise UserError(f"{path} must hold a study, but it holds none; start the search again")
    try:
        yield optuna.load_study(study_name=names[0], storage=storage)
    except (
        SQLAlchemyError,
        json.JSONDecodeError,
        optuna.exceptions.StorageInternalError,
    ) as error:  # some pages can be read, some not
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} must be an Optuna study, but reading it gave: {one_line(error)}; "
        "put a copy of it there, or start the search again under another name"
    )


def _reader(url: str, options: dict[str, Any]) -> RDBStorage:
    # NullPool leaves no connection behind.
    options = options | {"poolclass": NullPool}
    engine = sqlalchemy.create_engine(url, **options)
    with engine.connect() as connection:
        made = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).all()
    if not made:
        # Optuna would write the version that is missing, and whoever makes the study fail at it.
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


def save_record(study: optuna.Study, trial: optuna.Trial | int, record: TrialRecord) -> None:
    """Put ``record`` into the trial's user attributes; do it before the trial is told.

    ``trial`` is the trial or its key in the storage (`optuna_private.trial_id_of`).

    Raises:
        UserError: the disk is full or the database cannot be written.
    """
    with plain_errors("the study"):
        if isinstance(trial, int):
            storage_of(study).set_trial_user_attr(trial, RECORD, record.to_json())
        else:
            trial.set_user_attr(RECORD, record.to_json())


def load_records(study: optuna.Study) -> list[TrialRecord]:
    """The records of all trials that left one and were not superseded, by number.

    A damaged record is left out; see `left_out`.
    """
    trials = sorted(_trials(study), key=lambda trial: trial.number)
    gone = {trial.user_attrs.get(SUPERSEDES) for trial in trials}
    records = [record_of(trial) for trial in trials if trial.number not in gone]
    return [record for record in records if record is not None]


def record_of(trial: optuna.trial.FrozenTrial) -> TrialRecord | None:
    """What a trial left behind so far; ``None`` before its policy was complete."""
    # One that waits to go on in the place of a dead process's trial still has that trial's number.
    record = _read(TrialRecord.from_json, trial.user_attrs.get(RECORD))
    if record is None:
        return None
    record = replace(record, number=trial.number)
    if record.state == "running" and trial.state == optuna.trial.TrialState.FAIL:
        return replace(record, state="failed", reason=record.reason or "the run was killed")
    return record


def check_is_ours(study: optuna.Study, folder: Path) -> None:
    """Refuse what has trials, but nothing that a run leaves in its study.

    Raises:
        UserError: it is a study of something else.
    """
    trials = _trials(study)
    ended = [trial for trial in trials if trial.state.is_finished()]
    if (
        ended
        and PROVENANCE not in study.user_attrs
        and not any(RECORD in t.user_attrs for t in trials)
    ):
        raise UserError(
            f"{folder} must be the study of a run, but none of its {len(ended)} trials has a "
            "record: it belongs to another program; give the folder of a run"
        )


def left_out(study: optuna.Study) -> list[str]:
    """One sentence for everything in the study that is damaged, and that is therefore left out."""
    damaged = [
        f"trial {number}"
        for number, trial in _by_number(study).items()
        if trial is None or (RECORD in trial.user_attrs and record_of(trial) is None)
    ]
    attrs = study.user_attrs
    for key, what, parse in (
        (FINALS, "final", FinalRecord.from_json),
        (REPEATS, "repeat", TrialRecord.from_json),
        (SENSITIVITY, "sensitivity", SensitivityRecord.from_json),
        (BESIDE, "network beside", BesideRecord.from_json),
    ):
        texts = enumerate(attrs.get(key, []))
        damaged += [f"{what} {i}" for i, text in texts if _read(parse, text) is None]
    if COMPARISON in attrs and _read(Comparison.from_json, attrs[COMPARISON]) is None:
        damaged.append("the comparison")
    if PROVENANCE in attrs and _read(json.loads, attrs[PROVENANCE]) is None:
        damaged.append("the provenance")
    return [f"the record of {what} is damaged and was left out" for what in damaged]


def _trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """All trials that Optuna can read."""
    return [trial for trial in _by_number(study).values() if trial is not None]


def _by_number(study: optuna.Study) -> dict[int, optuna.trial.FrozenTrial | None]:
    """Every trial's number, with ``None`` for those that Optuna cannot read."""
    try:
        return {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    except json.JSONDecodeError:
        return dict(_one_by_one(study))


def _one_by_one(study: optuna.Study) -> Iterator[tuple[int, optuna.trial.FrozenTrial | None]]:
    # Optuna reads all trials or none; only its storage reads one, and none of its counts works.
    storage = storage_of(study)
    for number in itertools.count():
        try:
            known = storage.get_trial_id_from_study_id_trial_number(study_id_of(study), number)
        except KeyError:
            return
        try:
            yield number, storage.get_trial(known)
        except json.JSONDecodeError:
            yield number, None


def _read(parse: Callable[[str], T], text: Any) -> T | None:
    """What ``text`` holds; ``None`` where there is none, or a damaged one."""
    try:
        return None if text is None else parse(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _read_all(parse: Callable[[str], T], texts: Iterable[Any]) -> list[T]:
    read = (_read(parse, text) for text in texts)
    return [each for each in read if each is not None]


def save_finals(study: optuna.Study, finals: Sequence[FinalRecord]) -> None:
    """Put the finalists into the study's user attributes, replacing what was there."""
    with plain_errors("the study"):
        study.set_user_attr(FINALS, [final.to_json() for final in finals])


def load_finals(study: optuna.Study) -> list[FinalRecord]:
    """The finalists that `save_finals` stored; none while the search is running."""
    return _read_all(FinalRecord.from_json, study.user_attrs.get(FINALS, []))


def save_repeats(study: optuna.Study, repeats: Sequence[TrialRecord]) -> None:
    """Put the repeats into the study: trials' policies trained again with another seed.

    A repeat is its trial's record with that seed, and with accuracies of ``nan`` at the rungs that
    were not measured again.
    """
    with plain_errors("the study"):
        study.set_user_attr(REPEATS, [repeat.to_json() for repeat in repeats])


def load_repeats(study: optuna.Study) -> list[TrialRecord]:
    """What `save_repeats` stored."""
    return _read_all(TrialRecord.from_json, study.user_attrs.get(REPEATS, []))


def save_sensitivity(study: optuna.Study, measured: Sequence[SensitivityRecord]) -> None:
    """Put what cutting each group alone did into the study, replacing what was there."""
    with plain_errors("the study"):
        study.set_user_attr(SENSITIVITY, [record.to_json() for record in measured])


def load_sensitivity(study: optuna.Study) -> list[SensitivityRecord]:
    """What `save_sensitivity` stored; none where no importance was measured."""
    return _read_all(SensitivityRecord.from_json, study.user_attrs.get(SENSITIVITY, []))


def save_beside(study: optuna.Study, records: Sequence[BesideRecord]) -> None:
    """Put what was set beside the search into the study, replacing what was there."""
    with plain_errors("the study"):
        study.set_user_attr(BESIDE, [record.to_json() for record in records])


def load_beside(study: optuna.Study) -> list[BesideRecord]:
    """What `save_beside` stored."""
    return _read_all(BesideRecord.from_json, study.user_attrs.get(BESIDE, []))


def save_comparison(study: optuna.Study, comparison: Comparison) -> None:
    """Put what a comparison has measured so far into the study, replacing what was there."""
    with plain_errors("the study"):
        study.set_user_attr(COMPARISON, comparison.to_json())


def load_comparison(study: optuna.Study) -> Comparison:
    """What `save_comparison` stored, else an empty comparison."""
    known = _read(Comparison.from_json, study.user_attrs.get(COMPARISON))
    return Comparison() if known is None else known


def save_trainings(study: optuna.Study, records: Sequence[TrainingRecord]) -> None:
    """PLACEHOLDER"""
    with plain_errors("the study"):
        study.set_user_attr("trainings", [r.to_json() for r in records])


def load_trainings(study: optuna.Study) -> list[TrainingRecord]:
    """PLACEHOLDER"""
    return _read_all(TrainingRecord.from_json, study.user_attrs.get("trainings", []))


def save_provenance(study: optuna.Study, provenance: dict[str, Any]) -> None:
    """Put what the report needs beyond the records into the study; see `results.report`."""
    with plain_errors("the study"):
        study.set_user_attr(PROVENANCE, json.dumps(provenance, default=str))


def load_provenance(study: optuna.Study) -> dict[str, Any]:
    """What `save_provenance` stored, else an empty dict."""
    loaded: dict[str, Any] | None = _read(json.loads, study.user_attrs.get(PROVENANCE))
    return loaded or {}


def write_text(path: Path, text: str, remedy: str = RESUME) -> None:
    """Write ``path`` in one step, as UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode(), remedy)


def write_bytes(path: Path, data: bytes, remedy: str = RESUME) -> None:
    """Write ``path`` in one step: a reader, or a kill, sees the old file or the new one.

    Args:
        remedy: what the user should do once there is space, or permission, again.

    Raises:
        UserError: the disk is full or the folder cannot be written; the old file is still there.
    """
    with plain_errors(str(path), remedy):
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def plain_errors(what: str, remedy: str = RESUME) -> Iterator[None]:
    """Turn a full disk or an unwritable database into one line for the user.

    >>> with plain_errors("the study"):
    ...     trial = study.ask()

    Raises:
        UserError: instead of `OSError` and of Optuna's `StorageInternalError`.
    """
    try:
        yield
    except (OSError, optuna.exceptions.StorageInternalError) as error:
        raise UserError(
            f"{what} must be writable, but got: {one_line(error)}; "
            f"free some space or mend what is in the way, then {remedy}"
        ) from error
