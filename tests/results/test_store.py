"""A real SQLite study on disk: round trip, tables, a killed trial, a full disk, bad files."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState
from sqlalchemy import event

import results
from results import FinalRecord, Provenance, TrialRecord, opening, store
from spaces.errors import UserError


@pytest.fixture
def study(tmp_path: Path) -> Any:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    yield optuna.create_study(
        study_name="run", storage=storage, directions=["maximize", "minimize"]
    )
    storage.remove_session()
    storage.engine.dispose()


def fill(study: optuna.Study, records: list[TrialRecord]) -> None:
    for record in records:
        trial = study.ask()
        store.save_record(study, trial, record)
        if record.state == "complete":
            study.tell(trial, [record.val_accuracy, record.flops])
        elif record.state != "running":
            study.tell(trial, state=TrialState.FAIL)


def test_load_reads_what_was_saved_while_the_study_is_open(
    tmp_path, study, records, finals, provenance
) -> None:
    fill(study, records)
    store.save(study, store.FINALS, finals)
    store.save(study, store.PROVENANCE, Provenance.from_dict(provenance))
    run = results.load(tmp_path)
    assert list(run.records) == records
    assert list(run.finals) == finals
    assert run.provenance.to_dict() == provenance
    # As a mapping, as version 0.1 had it.
    assert dict(run.provenance) == provenance
    assert run.provenance["commit"] == "abc1234"
    assert run.provenance.get("no such key") is None
    assert run.best == records[5]


def test_a_study_without_finals_is_a_running_one(tmp_path, study, records) -> None:
    fill(study, records)
    study.ask()  # proposed, but not yet a record
    run = results.load(tmp_path)
    assert len(run.trials) == len(records)
    assert (run.finals, run.provenance) == ((), Provenance())
    assert run.front["test_accuracy"].isna().all()
    assert run.best == records[5]


def test_save_record_takes_the_trials_id_too(study, records) -> None:
    trial = study.ask()
    store.save_record(study, trial._trial_id, records[0])
    assert store.load_records(study) == [records[0]]


def test_a_trial_that_was_killed_half_way_is_failed(study, records) -> None:
    running = records[8]
    trial = study.ask()
    store.save_record(study, trial, running)
    assert store.load_records(study)[0].state == "running"
    study.tell(trial, state=TrialState.FAIL)
    (record,) = store.load_records(study)
    assert (record.state, record.reason) == ("failed", "the run was killed")
    assert record.accuracy == running.accuracy


def test_a_full_disk_is_one_line_and_the_old_file_stays(tmp_path, monkeypatch) -> None:
    path = tmp_path / "trials.csv"
    path.write_text("old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left on device; free some space") as caught:
        store.write_text(path, "new")
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["trials.csv"]


def test_a_full_database_is_one_line(tmp_path, records) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    study = optuna.create_study(storage=storage)
    trial = study.ask()

    @event.listens_for(storage.engine, "checkout")
    def no_more_pages(connection: Any, *_: Any) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite keeps it at what is in use

    big = replace(records[0], proxies={f"proxy{i}": 0.5 for i in range(20_000)})
    with pytest.raises(UserError, match=r"^the study must be writable, but got: .*full") as caught:
        store.save_record(study, trial, big)
    assert "\n" not in str(caught.value)
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture
def saved(tmp_path, study, records, finals, provenance) -> sqlite3.Connection:
    """A whole run, and a connection to break it with."""
    fill(study, records)
    store.save(study, store.FINALS, finals)
    store.save(study, store.REPEATS, [replace(records[1], seed=9)])
    ternary = results.CompressionBaseline("ternary", "ternary", None, *[0] * 9)
    store.save(study, store.BASELINES, [ternary])
    store.save(study, store.COMPARISON, results.Comparison({"seeds": 3}, notes=("one",)))
    store.save(study, store.PROVENANCE, Provenance.from_dict(provenance))
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        yield database


def set_record(database: sqlite3.Connection, number: int, text: str) -> None:
    """Make ``text`` what the database keeps as a trial's record."""
    database.execute(
        "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'record' "
        "AND trial_id = (SELECT trial_id FROM trials WHERE number = ?)",
        (text, number),
    )
    database.commit()


@pytest.mark.parametrize(
    "text",
    [
        '{"number": 3, "pol',  # Optuna's own JSON is cut off
        json.dumps('{"number": 3, "pol'),  # ours is
        json.dumps('{"number": 3}'),
        json.dumps("[1, 2]"),
        json.dumps(7),
    ],
)
def test_a_damaged_record_is_left_out_and_named(
    tmp_path, saved, records, finals, caplog, text: str
) -> None:
    set_record(saved, 3, text)
    run = results.load(tmp_path)
    assert list(run.records) == [r for r in records if r.number != 3]
    assert list(run.finals) == finals
    sentence = "the record of trial 3 is damaged and was left out"
    assert run.provenance.checks[-1] == sentence
    assert [each.getMessage() for each in caplog.records] == [f"{tmp_path}: {sentence}"]
    assert sentence in run.report().with_suffix(".md").read_text()


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("finals", '["{", "x"]', ["final 0", "final 1"]),
        ("repeats", '["{}"]', ["repeat 0"]),
        ("beside", '["{}"]', ["compression baseline 0"]),
        ("comparison", '"{\\"options\\": "', ["the comparison"]),
        ("provenance", '"{\\"run"', ["the provenance"]),
    ],
)
def test_whatever_else_is_damaged_is_left_out_and_named(
    tmp_path, saved, records, key: str, value: str, what: list[str]
) -> None:
    saved.execute(
        "UPDATE study_user_attributes SET value_json = ? WHERE key = ?",
        (value, key),
    )
    saved.commit()
    run = results.load(tmp_path)
    assert list(run.records) == records
    assert run.provenance.checks[-len(what) :] == tuple(
        f"the record of {each} is damaged and was left out" for each in what
    )
    assert (key == "comparison") == (run.compared == results.Comparison())


def test_damage_in_optunas_own_columns_is_one_line(tmp_path, saved) -> None:
    saved.execute("UPDATE study_user_attributes SET value_json = '[\"{' WHERE key = 'finals'")
    saved.commit()
    with pytest.raises(UserError, match=r"study\.db must be an Optuna study, but .*; put a copy"):
        results.load(tmp_path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_study_that_was_cut_off_is_one_line_or_what_is_left(tmp_path, saved, share) -> None:
    saved.close()
    path = tmp_path / "study.db"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        UserError, match=r"study\.db must be an Optuna study, but .*; put a copy"
    ) as e:
        results.load(tmp_path)
    assert "\n" not in str(e.value)


def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path) -> None:
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE studies (title TEXT)")
        database.execute("INSERT INTO studies VALUES ('of birds')")
        database.commit()
    before = path.read_bytes()
    with pytest.raises(UserError, match="must be an Optuna study, but"):
        results.load(tmp_path)
    assert path.read_bytes() == before


def test_an_optuna_study_of_something_else_is_refused(tmp_path, study) -> None:
    study.tell(study.ask(), [0.5, 1.0])
    with pytest.raises(UserError, match=r"must be the study of a run, but .*another program"):
        results.load(tmp_path)


def test_load_refuses_what_is_not_a_study(tmp_path) -> None:
    with pytest.raises(UserError, match=r"study.db must exist, but it does not"):
        results.load(tmp_path)
    (tmp_path / "study.db").write_text("this is no database, " * 100)
    with pytest.raises(UserError, match=r"must be an Optuna study, but .* not a database"):
        results.load(tmp_path)


def test_load_leaves_an_empty_file_as_it_is(tmp_path) -> None:
    (tmp_path / "study.db").touch()
    with pytest.raises(UserError, match="must be an Optuna study"):
        results.load(tmp_path)
    assert (tmp_path / "study.db").stat().st_size == 0


def test_finals_are_replaced_not_appended(study, finals: list[FinalRecord]) -> None:
    store.save(study, store.FINALS, finals)
    store.save(study, store.FINALS, finals[:1])
    assert store.load(study, store.FINALS) == tuple(finals[:1])


def test_a_study_that_is_only_being_made_is_left_to_its_maker(tmp_path: Path) -> None:
    """Optuna writes its version last; a reader that wrote it first would end the search."""
    path = tmp_path / "study.db"
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    with storage.engine.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM alembic_version"))
    with pytest.raises(UserError, match="the study is only being made; try again"):
        opening.open_study(path).__enter__()
    with storage.engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT * FROM alembic_version")).all() == []
    storage.engine.dispose()
