"""What a run's folder says was measured, set against its study.

A study that was emptied, put in the place of another or restored from an old copy would have its
trials measured again and the tables replaced. So it is refused, with what still has the results.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
from optuna.study import Study

from results import load_records, store
from results.opening import remedy
from results.run import left_behind
from results.text import listed, plural
from results.training import COMPARISON, SWEEP
from search.config import SearchConfig
from search.folder import Folder, finished
from spaces import UserError

RUN = "run_id"
"""Attribute of an unshared study: the ``id`` in the folder's ``config.json``."""


def measured_in(path: Path) -> str:
    """What was measured in a run's folder, in words, whatever its study says; empty for nothing."""
    trials = _table(path / "trials.csv", ["number"])
    if len(trials):
        return f"trials.csv has {plural(len(trials), 'trial')}"
    if logged := _logged(path / "log.txt"):
        return f"log.txt has {plural(logged, 'trial')}"
    if finished(path) or any((path / "models").glob("*")):
        return "the folder has results"
    return ""


def check_there(path: Path, study: str) -> None:
    """Refuse to begin where ``study`` is missing, if anything was measured in the folder."""
    if found := measured_in(path):
        raise UserError(
            f"{study} must have the trials of {path}, but is missing, while {found}; {remedy(path)}"
        )


def check_study(study: Study, folder: Folder) -> None:
    """Refuse a study that is another run's, or knows less than the folder's tables.

    Raises:
        UserError: one line that says what is missing, and what to do.
    """
    path, owner = folder.path, study.user_attrs.get(RUN, folder.id)
    if owner != folder.id:
        raise UserError(
            f"the study of {path} must be its own, but is that of another run; {remedy(path)}"
        )
    if different := _other_options(study, folder):
        raise UserError(
            f"{path / 'config.json'} must be as its study has it, but differs: "
            f"{'; '.join(different)}; put the right one back, or choose another --name"
        )
    _check_seeds(study, folder)
    missing = [*_missing_trials(study, path), *_missing_trainings(study, path)]
    if missing:
        raise UserError(
            f"the study of {path} must have what its tables have, but lacks {listed(missing)}: "
            "it is an older copy, or of another run; put the right one back, or move these "
            "tables away to go on with what it has"
        )


def _other_options(study: Study, folder: Folder) -> list[str]:
    """Where the study has other options than the run that is gone on with; some may have grown."""
    stored = store.load(study, store.PROVENANCE).config
    if not stored:  # killed before it said so
        return []
    with suppress(UserError):  # an option that only an older version knows
        return SearchConfig.from_dict(stored).differences(folder.config, grown=True)
    return []


def _check_seeds(study: Study, folder: Folder) -> None:
    """Only here is it known how many final seeds a run has that left them to the data."""
    asked = folder.config.training.final_seeds
    finals = (final for final in store.load(study, store.FINALS) if final.role != "baseline")
    known = max((len(final.seeds) for final in finals), default=0)
    if asked is not None and asked < known:
        raise UserError(
            f"--final-seeds must be at least the {known} that {folder.path} has, but got {asked}; "
            "give more, or leave it out"
        )


def _missing_trials(study: Study, path: Path) -> Iterator[str]:
    records = {record.number: record for record in load_records(study)}
    last = max(records, default=-1)
    table = _table(path / "trials.csv", ["number", "seed", "flops"])
    lost = 0
    for number, seed, flops in table.itertuples(index=False):
        record = records.get(number)
        # One that is damaged or was superseded has no record, though it has a number.
        known = number <= last if record is None else (record.seed, record.flops) == (seed, flops)
        lost += not known
    if lost:
        yield f"{lost} of {plural(len(table), 'trial')} in trials.csv"


def _missing_trainings(study: Study, path: Path) -> Iterator[str]:
    """Those of a comparison are not counted: ``--anew`` throws them away."""
    kept = Counter(record.purpose for record in left_behind(study, path).training_records)
    purposes = list(_table(path / "trainings.csv", ["purpose"]).purpose)
    own = Counter(purpose for purpose in purposes if purpose not in (COMPARISON, SWEEP))
    if lost := (own - kept).total():
        yield f"{lost} of {plural(own.total(), 'training')} in trainings.csv"


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    """These columns of a table; without rows where it is missing or damaged."""
    with suppress(OSError, ValueError):
        return pd.read_csv(path, usecols=columns)[columns]
    return pd.DataFrame(columns=columns)


def _logged(path: Path) -> int:
    """How many trials have a rung in the log."""
    with suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace")
        return len(set(re.findall(r" trial (\d+) rung \d+ on ", lines)))
    return 0
