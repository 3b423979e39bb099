"""Optuna storage ↔ records ↔ tidy tables, one row a trial. The study is the truth.

>>> with open_study(Path("runs/digits/study.db")) as study:
...     trials = table(load_records(study))
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from sqlalchemy.pool import NullPool

from results import pareto
from results.record import FinalRecord, TrialRecord
from spaces.errors import UserError

RECORD, FINALS, PROVENANCE = "record", "finals", "provenance"
"""Where records live among Optuna's user attributes."""

COLUMNS = (
    "number",
    "state",
    "origin",
    "mode",
    "rung",
    "flops",
    "flops_fraction",
    "params",
    "val_accuracy",
    "seconds",
    "seed",
    "reason",
)


@contextmanager
def open_study(path: Path) -> Iterator[optuna.Study]:
    """The study in a run's ``study.db``, for reading; a search may be writing to it.

    Raises:
        UserError: there is no such file, or it is not an Optuna study.
    """
    if not path.is_file():
        raise UserError(f"{path} must exist, but it does not; give the folder of a run")
    # skip_table_creation: reading must not turn a stranger's file into an Optuna database. The
    # timeout waits out the writes of a search that is still running, and NullPool leaves no
    # connection behind.
    try:
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{path.resolve()}",
            engine_kwargs={"connect_args": {"timeout": 60}, "poolclass": NullPool},
            skip_table_creation=True,
        )
        names = optuna.get_all_study_names(storage)
    except Exception as error:  # SQLAlchemy's errors, which are not ours to import
        raise UserError(
            f"{path} must be an Optuna study, but reading it gave: {_one_line(error)}"
        ) from error
    if not names:
        raise UserError(f"{path} must hold a study, but it holds none; start the search again")
    yield optuna.load_study(study_name=names[0], storage=storage)


def save_record(study: optuna.Study, trial: optuna.Trial | int, record: TrialRecord) -> None:
    """Put ``record`` into the trial's user attributes; do it before the trial is told.

    ``trial`` is the trial or its storage id (``trial._trial_id``).

    Raises:
        UserError: the disk is full or the database cannot be written.
    """
    with plain_errors("study.db"):
        if isinstance(trial, int):
            # Trial(study, id) is the public way, but it calls the sampler and so moves its seed.
            study._storage.set_trial_user_attr(trial, RECORD, record.to_json())
        else:
            trial.set_user_attr(RECORD, record.to_json())


def load_records(study: optuna.Study) -> list[TrialRecord]:
    """The records of all trials that left one, by number."""
    trials = study.get_trials(deepcopy=False)
    return [_settled(t) for t in sorted(trials, key=lambda t: t.number) if RECORD in t.user_attrs]


def _settled(trial: optuna.trial.FrozenTrial) -> TrialRecord:
    """A trial that Optuna knows as failed while its record runs was killed half-way."""
    record = TrialRecord.from_json(trial.user_attrs[RECORD])
    if record.state == "running" and trial.state == optuna.trial.TrialState.FAIL:
        return replace(record, state="failed", reason=record.reason or "the run was killed")
    return record


def save_finals(study: optuna.Study, finals: Sequence[FinalRecord]) -> None:
    """Put the finalists into the study's user attributes, replacing what was there."""
    with plain_errors("study.db"):
        study.set_user_attr(FINALS, [final.to_json() for final in finals])


def load_finals(study: optuna.Study) -> list[FinalRecord]:
    """The finalists that `save_finals` stored; none while the search is running."""
    return [FinalRecord.from_json(text) for text in study.user_attrs.get(FINALS, [])]


def save_provenance(study: optuna.Study, provenance: dict[str, Any]) -> None:
    """Put what the report needs beyond the records into the study; see `results.report`."""
    with plain_errors("study.db"):
        study.set_user_attr(PROVENANCE, json.dumps(provenance, default=str))


def load_provenance(study: optuna.Study) -> dict[str, Any]:
    """What `save_provenance` stored, else an empty dict."""
    loaded: dict[str, Any] = json.loads(study.user_attrs.get(PROVENANCE, "{}"))
    return loaded


def table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row a trial: `COLUMNS`, then ``proxy:<name>`` and ``width:<group>``.

    Accuracies are fractions 0..1 on the validation split, ``seconds`` wall time.
    """
    proxies = dict.fromkeys(name for r in records for name in r.proxies)
    groups = dict.fromkeys(name for r in records for name in r.policy)
    names = [*COLUMNS, *(f"proxy:{p}" for p in proxies), *(f"width:{g}" for g in groups)]
    rows = [
        [getattr(r, column) for column in COLUMNS]
        + [r.proxies.get(name, float("nan")) for name in proxies]
        + [r.policy.get(name) for name in groups]
        for r in records
    ]
    return pd.DataFrame(rows, columns=names)


def front_table(records: Sequence[TrialRecord], finals: Sequence[FinalRecord]) -> pd.DataFrame:
    """The rows of `table` on the front, with ``test_accuracy`` added: the mean over seeds."""
    on_front = pareto.trial_front(records)
    test = {f.policy: f.test_accuracy for f in finals if f.policy is not None and f.test_accuracy}
    means = [statistics.fmean(test.get(r.policy, (float("nan"),))) for r in on_front]
    return table(on_front).assign(test_accuracy=pd.Series(means, dtype=float))


def write_tables(
    folder: str | Path, records: Sequence[TrialRecord], finals: Sequence[FinalRecord] = ()
) -> None:
    """Write ``trials.csv`` and ``pareto.csv`` into ``folder``, each in one step."""
    write_text(Path(folder) / "trials.csv", table(records).to_csv(index=False))
    write_text(Path(folder) / "pareto.csv", front_table(records, finals).to_csv(index=False))


def write_text(path: Path, text: str) -> None:
    """Write ``path`` in one step: a reader, or a kill, sees the old file or the new one.

    Raises:
        UserError: the disk is full or the folder cannot be written; the old file is still there.
    """
    with plain_errors(str(path)):
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8", newline="")
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def plain_errors(what: str) -> Iterator[None]:
    """Turn a full disk or an unwritable database into one line for the user.

    >>> with plain_errors("study.db"):
    ...     trial = study.ask()

    Raises:
        UserError: instead of `OSError` and of Optuna's `StorageInternalError`.
    """
    try:
        yield
    except (OSError, optuna.exceptions.StorageInternalError) as error:
        raise UserError(
            f"{what} must be writable, but got: {_one_line(error)}; "
            "free some space or mend the folder, then go on with --resume"
        ) from error


def _one_line(error: BaseException) -> str:
    """The operating system's or the database's own words, without paths and SQL."""
    cause = getattr(error.__cause__, "orig", None) or getattr(error, "orig", None) or error
    reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return " ".join(reason.split())
