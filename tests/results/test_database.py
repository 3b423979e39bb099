"""URLs of databases: which driver is meant, and that a password stays where it belongs."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import optuna
import pytest
from postgres import PASSWORD, Server
from sqlalchemy import make_url

import results
from results import TrialRecord, database, store
from spaces.errors import UserError

URL = "postgresql://ada:se{c}ret@db:5433/studies?application_name=x&sslpassword=hidden"


def test_the_plain_url_means_the_driver_that_the_extra_installs() -> None:
    meant = database.parsed(URL)
    assert meant.drivername == "postgresql+psycopg"
    assert (meant.username, meant.password, meant.port) == ("ada", "se{c}ret", 5433)
    assert database.parsed("sqlite:///a.db").drivername == "sqlite"


def test_optuna_gets_the_whole_url_unharmed() -> None:
    given = database.optuna_url("postgresql://ada:se{c}ret@db/{studies}")
    whole = make_url(given.format(SCHEMA_VERSION=12))  # as Optuna does
    assert (whole.drivername, whole.host) == ("postgresql+psycopg", "db")
    assert (whole.password, whole.database) == ("se{c}ret", "{studies}")


def test_what_is_shown_has_no_password() -> None:
    assert database.shown(URL) == "postgresql://ada@db:5433/studies?application_name=x"
    assert database.shown("postgresql://ada:x@db/y", "PASSWORD") == (
        "postgresql://ada:PASSWORD@db/y"
    )
    assert database.shown("sqlite:///a.db") == "sqlite:///a.db"
    assert (database.has_password(URL), database.has_password("sqlite:///a.db")) == (True, False)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_study_in_memory_would_be_lost(url: str) -> None:
    with pytest.raises(UserError, match="--storage must name a file, sqlite:///FILE, but"):
        database.parsed(url)


@pytest.mark.parametrize("url", ["", "study.db", "postgresql:/ada:secret@db", "oracl://a:secret@b"])
def test_what_is_no_url_is_not_repeated(url: str) -> None:
    with pytest.raises(UserError, match="--storage must be the URL of a database") as caught:
        database.parsed(url)
    assert "secret" not in str(caught.value)


@pytest.fixture
def run(postgres: Server, tmp_path: Path, records: list[TrialRecord]) -> tuple[Path, str]:
    """A run whose study is in a PostgreSQL, under its name; the URL with the password."""
    url = postgres.create(uuid.uuid4().hex)
    storage = optuna.storages.RDBStorage(database.optuna_url(url))
    study = optuna.create_study(study_name="digits", storage=storage)
    for record in records:
        store.save_record(study, study.ask(), record)
    storage.remove_session()
    storage.engine.dispose()
    about = {"config": {"run": {"name": "digits", "storage": database.shown(url)}}}
    (tmp_path / "config.json").write_text(json.dumps(about))
    return tmp_path, url


def test_a_run_is_read_from_its_database(
    run: tuple[Path, str], records: list[TrialRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = run
    assert results.load(folder, url).records == tuple(records)
    with pytest.raises(UserError, match=r"a password may be in .* PGPASSWORD or in ~/.pgpass"):
        results.load(folder)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert results.load(folder).records == tuple(records)


def test_a_database_without_the_study_is_one_line(run: tuple[Path, str]) -> None:
    folder, url = run
    about = {"config": {"run": {"name": "gone", "storage": database.shown(url)}}}
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="must hold study 'gone', but does not"):
        results.load(folder, url)


def test_the_trial_of_a_dead_process_is_not_shown_beside_its_successor(
    records: list[TrialRecord],
) -> None:
    study = optuna.create_study()
    dead = study.ask()
    store.save_record(study, dead, records[8])
    study.tell(dead, state=optuna.trial.TrialState.FAIL)
    attributes = {**dead.user_attrs, store.SUPERSEDES: dead.number}
    study.enqueue_trial({}, user_attrs=attributes)
    (shown,) = store.load_records(study)
    assert (shown.number, shown.state, shown.accuracy) == (1, "running", records[8].accuracy)
