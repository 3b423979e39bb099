"""A real SQLite study on disk: round trip, tables, a killed trial, a full disk, bad files."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from sqlalchemy import event

import results
from results import FinalRecord, TrialRecord, store
from spaces.errors import UserError

COLUMNS = (
    "number,state,origin,mode,rung,flops,flops_fraction,params,val_accuracy,seconds,seed,reason"
)


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
    store.save_finals(study, finals)
    store.save_provenance(study, provenance)
    run = results.load(tmp_path)
    assert list(run.records) == records
    assert list(run.finals) == finals
    assert run.provenance == provenance
    assert run.best == records[5]


def test_a_study_without_finals_is_a_running_one(tmp_path, study, records) -> None:
    fill(study, records)
    study.ask()  # proposed, but not yet a record
    run = results.load(tmp_path)
    assert len(run.trials) == len(records)
    assert (run.finals, run.provenance) == ((), {})
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


def test_columns_of_trials_csv(tmp_path, records, finals) -> None:
    results.write_tables(tmp_path, records, finals)
    header, *rows = (tmp_path / "trials.csv").read_text().splitlines()
    assert header == (
        f"{COLUMNS},proxy:adaptive_bn,width:stem,width:layer1.conv1,width:layer2.conv1"
    )
    assert len(rows) == len(records)
    assert rows[0] == "0,complete,uniform,finetune,2,500000,0.5,20000,0.86,1.5,100,,0.5,8,2,16"
    table = pd.read_csv(tmp_path / "trials.csv")
    assert table["state"].tolist() == [r.state for r in records]
    assert table["val_accuracy"].isna().tolist() == [r.rung == 0 for r in records]


def test_pareto_csv_is_the_front_with_test_accuracy(tmp_path, records, finals) -> None:
    results.write_tables(tmp_path, records, finals)
    front = pd.read_csv(tmp_path / "pareto.csv")
    trials = pd.read_csv(tmp_path / "trials.csv")
    assert list(front.columns) == [*trials.columns, "test_accuracy"]
    # Every further trial of the fixture is both smaller and better, so the last one is alone.
    assert front["number"].tolist() == [5]
    assert front["test_accuracy"][0] == pytest.approx((0.910 + 0.913 + 0.913) / 3)


def test_tables_without_trials_still_have_their_columns(tmp_path) -> None:
    results.write_tables(tmp_path, [])
    assert (tmp_path / "trials.csv").read_text() == f"{COLUMNS}\n"
    assert (tmp_path / "pareto.csv").read_text() == f"{COLUMNS},test_accuracy\n"


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
    store.save_finals(study, finals)
    store.save_finals(study, finals[:1])
    assert store.load_finals(study) == finals[:1]
