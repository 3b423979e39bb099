"""A database that is not there, goes away, comes back: a real PostgreSQL, stopped and started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import postgres as real
import pytest
from evaluators import toy
from postgres import Server
from sharer import Slow, measured, shared, work
from sqlalchemy import event

from results import load_records
from search.cli import USER_ERROR, main
from search.errors import DatabaseLost
from search.sharing import timing
from search.sharing.connection import connected
from spaces import Policy, Space, UserError

TRIALS = 5


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that this test alone uses, since it stops it."""
    bin = real.binaries()
    if bin is None:
        pytest.skip("PostgreSQL's server is not installed: apt-get install postgresql")
    with real.server(bin) as server:
        yield server


@dataclass
class Accident:
    """Something that happens while the n-th rung is measured."""

    note: Slow
    at: int
    happens: Callable[[], None]
    count: int = 0

    def __call__(self, policy: Policy, rung: int, seed: int) -> None:
        self.note(policy, rung, seed)
        self.count += 1
        if self.count == self.at:
            self.happens()


@pytest.mark.parametrize("at", [1, 5])
def test_the_run_goes_on_when_the_database_comes_back(
    own: Server, tmp_path: Path, space: Space, at: int
) -> None:
    def restart() -> None:
        own.stop()
        Timer(0.5, own.start).start()

    evaluator = toy(space, Accident(Slow(tmp_path), at, restart), explore=1.0)
    with shared(own.url(), tmp_path, space) as opened:
        work(opened, evaluator, TRIALS)
        there = load_records(opened.study)
    assert [(r.number, r.state) for r in there] == [(n, "complete") for n in range(TRIALS)]
    assert set(measured(tmp_path).values()) == {1}


def test_the_run_gives_up_and_loses_nothing(
    own: Server, tmp_path: Path, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "RECONNECT_S", 0.5)
    evaluator = toy(space, Accident(Slow(tmp_path), 5, own.stop), explore=1.0)
    with (
        pytest.raises(DatabaseLost, match="must answer, but for") as caught,
        shared(own.url(), tmp_path, space) as opened,
    ):
        work(opened, evaluator, TRIALS)
    assert "\n" not in str(caught.value)
    assert real.PASSWORD not in str(caught.value)
    (unsaved,) = (tmp_path / "unsaved").iterdir()
    own.start()
    with shared(own.url(), tmp_path, space) as opened:
        work(opened, toy(space, Slow(tmp_path), explore=1.0), TRIALS)
        there = load_records(opened.study)
    assert [(r.number, r.state) for r in there] == [(n, "complete") for n in range(TRIALS)]
    assert not unsaved.exists()
    assert set(measured(tmp_path).values()) == {1}


def test_an_operation_whose_connection_breaks_is_repeated(own: Server) -> None:
    storage = connected(own.url())
    study_id = storage.create_new_study([], "mine")

    def restart(*_: object) -> None:
        own.stop()
        own.start()

    event.listen(storage.engine, "before_cursor_execute", restart, once=True)
    storage.set_study_user_attr(study_id, "told", 1)
    assert storage.get_study_user_attrs(study_id) == {"told": 1}
    storage.engine.dispose()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda s: s.url(password="wrong"), "password authentication failed"),
        (lambda s: s.url(password=None), "no password supplied"),
        (lambda s: s.url(database="nowhere"), 'database "nowhere" does not exist'),
        (lambda s: s.url().replace(str(s.port), "1"), "Connection refused"),
        (lambda s: s.url().replace("127.0.0.1", "nobody.invalid"), "failed to resolve host"),
        (lambda _: "postgresql//ada:pass{word}@127.0.0.1/studies", "must be the URL of a database"),
        (lambda _: "postgresql+oracle://ada:pass{word}@db/x", "must be the URL of a database"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line(
    postgres: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    wrong: Callable[[Server], str],
    said: str,
) -> None:
    assert main(["--storage", wrong(postgres), "--runs-dir", str(tmp_path)]) == USER_ERROR
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("error: --storage ")
    assert said in line
    assert "word" not in line.replace("password", "")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_driver_says_what_to_install(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match=r"needs psycopg, .*; pip install 'psycopg\[binary\]'"):
        connected(postgres.url())
