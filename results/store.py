"""Records ↔ the Optuna study that keeps them.

>>> with open_run(Path("runs/digits")) as study:
...     finals = load(study, FINALS)

`KINDS` has one entry for each field of `RunData` whose metadata says where the study keeps it.
"""

from __future__ import annotations

import itertools
import json
import typing
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import optuna

from results import codec
from results.data import RunData
from results.database import one_line
from results.optuna_private import storage_of, study_id_of
from results.record import TrialRecord
from spaces.errors import UserError
from spaces.files import write_atomically

RECORD = "record"
"""Where a trial's record lives among its user attributes."""

SUPERSEDES = "supersedes"
"""The number of a dead process's trial, at the trial that goes on in its place."""

RESUME = "go on with --resume"

R = TypeVar("R", bound=codec.Stored)


@dataclass(frozen=True, slots=True)
class RecordKind:
    """One kind of record that a study keeps.

    Attributes:
        attribute: its place among the study's user attributes.
        field: of the run, that holds it.
        record: its class.
        label: of one record, or of all where there is only one, in messages about damage.
        several: whether there is a list of them.
        table: the table with a column for each field and a row for each record, unless
            `results.tables.TABLES` has others for that name; empty for none.
        caption: what stands over that table in the report; empty where a section of its own shows
            the records.
    """

    attribute: str
    field: str
    record: type[codec.Stored]
    label: str
    several: bool
    table: str = ""
    caption: str = ""

    def parts(self, study: optuna.Study) -> list[Any]:
        """Every record that the study has, ``None`` for one that is damaged."""
        kept = study.user_attrs.get(self.attribute, [])
        texts = kept if self.several or not kept else [kept]
        return [_read(self.record, text) for text in texts]


def kinds(run: type[RunData]) -> dict[str, RecordKind]:
    """The kinds of record that a class of runs holds, by their attributes."""
    hints = codec.hints_of(typing.cast(Hashable, run))
    every = {}
    for f in fields(run):
        if attribute := f.metadata.get("attribute"):
            inner = typing.get_args(hints[f.name])
            record = (*inner, hints[f.name])[0]
            codec.check(record)
            every[attribute] = RecordKind(
                field=f.name, record=record, several=bool(inner), **f.metadata
            )
    return every


KINDS = kinds(RunData)
FINALS, REPEATS, TRAININGS = KINDS["finals"], KINDS["repeats"], KINDS["trainings"]
SENSITIVITY, BASELINES, GAINS = KINDS["sensitivity"], KINDS["beside"], KINDS["gains"]
COMPARISON, PROVENANCE, SPACE = KINDS["comparison"], KINDS["provenance"], KINDS["space"]
RATES, SPEEDS = KINDS["rates"], KINDS["speeds"]


def save(study: optuna.Study, kind: RecordKind, kept: Any) -> None:
    """Put all records of a kind, or its only one, into the study, replacing what was there.

    Raises:
        UserError: the disk is full or the database cannot be written.
    """
    with plain_errors("the study"):
        texts = [record.to_json() for record in kept] if kind.several else kept.to_json()
        study.set_user_attr(kind.attribute, texts)


def load(study: optuna.Study, kind: RecordKind) -> Any:
    """What `save` stored: a tuple, empty without any, or the only one, else one without figures.

    What is damaged is left out; see `left_out`.
    """
    intact = tuple(part for part in kind.parts(study) if part is not None)
    if kind.several:
        return intact
    return intact[0] if intact else kind.record()


def load_all(study: optuna.Study, run: type[RunData] = RunData) -> dict[str, Any]:
    """Everything that the study keeps, by the fields of a run."""
    every = {kind.field: load(study, kind) for kind in kinds(run).values()}
    return every | {"records": tuple(load_records(study))}


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
    record = _read(TrialRecord, trial.user_attrs.get(RECORD))
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
    ended = sum(trial.state.is_finished() for trial in trials)
    ours = PROVENANCE.attribute in study.user_attrs or any(RECORD in t.user_attrs for t in trials)
    if ended and not ours:
        raise UserError(
            f"{folder} must be the study of a run, but none of its {ended} trials has a "
            "record: it belongs to another program; give the folder of a run"
        )


def left_out(study: optuna.Study, run: type[RunData] = RunData) -> list[str]:
    """One sentence for everything in the study that is damaged, and that is therefore left out."""
    damaged = [
        f"trial {number}"
        for number, trial in _by_number(study).items()
        if trial is None or (RECORD in trial.user_attrs and record_of(trial) is None)
    ]
    for kind in kinds(run).values():
        gone = (i for i, part in enumerate(kind.parts(study)) if part is None)
        damaged += [f"{kind.label} {i}" if kind.several else kind.label for i in gone]
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
            key = storage.get_trial_id_from_study_id_trial_number(study_id_of(study), number)
        except KeyError:
            return
        try:
            yield number, storage.get_trial(key)
        except json.JSONDecodeError:
            yield number, None


def _read(kind: type[R], text: Any) -> R | None:
    """The record in ``text``; ``None`` where there is none, or a damaged one."""
    try:
        return None if text is None else kind.from_json(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


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
        write_atomically(path, data)


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
