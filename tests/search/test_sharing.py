"""Several processes on one study, in a real PostgreSQL and in one SQLite file."""

from __future__ import annotations

import math
import pickle
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread, current_thread

import optuna
import pytest
import sqlalchemy
from commands import Command
from evaluators import toy
from optuna.trial import TrialState
from postgres import Server
from sharer import Slow, measured, shared, work
from waiting import PATIENCE, wait_for

from results import TrialRecord, load_records
from results.database import engine_options, optuna_url
from results.optuna_private import storage_of, study_id_of, trial_id_of
from search.errors import SearchStopped
from search.sharing import peers, timing
from search.sharing.connection import connected
from search.sharing.lease import Lease
from search.study.ledger import Ledger
from search.study.peers import OpenStudy
from search.study.storage import closing
from search.time_limit import TimeLimit
from spaces import Space

HEARTBEAT_S = 0.2


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shared.db"
    server: Server = request.getfixturevalue("postgres")
    return server.create(uuid.uuid4().hex)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes die within seconds, for those of this process."""
    monkeypatch.setattr(timing, "HEARTBEAT_S", HEARTBEAT_S)
    monkeypatch.setattr(timing, "DEAD_AFTER_S", 6 * HEARTBEAT_S)


@pytest.fixture
def engine(url: str) -> Iterator[sqlalchemy.Engine]:
    """A connection to the database other than those of the study."""
    storage = connected(url)
    with closing(storage):
        yield storage.engine


def lease_of(opened: OpenStudy, engine: sqlalchemy.Engine, owner: str) -> Lease:
    """The lease to train, as a process of that owner tries to get it."""
    return Lease(engine, study_id_of(opened.study), "trains", owner)


Start = Callable[[str, Path, int, float], Command]


@pytest.fixture
def start(space: Space, tmp_path: Path) -> Iterator[Start]:
    """Starts a process that works on the study until its trials have ended."""
    pickled, begun = tmp_path / "space", []
    pickled.write_bytes(pickle.dumps(space))

    def start(url: str, folder: Path, trials: int, seconds: float) -> Command:
        arguments = [url, str(folder), str(pickled), str(trials), str(seconds)]
        beat = {"PRUNING_SEARCH_BEAT": str(HEARTBEAT_S)}
        begun.append(Command(arguments, beat, "sharer.main"))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()


def ends(process: Command) -> None:
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors


def records(url: str) -> list[TrialRecord]:
    storage = optuna.storages.RDBStorage(optuna_url(url), engine_options(url))
    try:
        return load_records(optuna.load_study(study_name="toys", storage=storage))
    finally:
        storage.engine.dispose()


def test_three_processes_share_the_trials(url: str, tmp_path: Path, start: Start) -> None:
    folders = [tmp_path / name for name in "abc"]
    for process in [start(url, folder, 12, 0.05) for folder in folders]:
        ends(process)
    there = records(url)
    assert [record.state for record in there] == ["complete"] * 12
    assert len({record.policy for record in there}) == 12
    assert [record.origin for record in there].count("uniform") == 1
    assert {record.origin for record in there} <= {"uniform", "random", "tpe"}
    assert measured(*folders) == Counter(
        f"{record.policy.key} {rung}" for record in there for rung in range(3)
    )


def test_the_trial_of_a_killed_process_goes_on_elsewhere(
    postgres: Server, tmp_path: Path, start: Start
) -> None:
    url = postgres.create(uuid.uuid4().hex)
    dies, lives = tmp_path / "dies", tmp_path / "lives"
    killed = start(url, dies, 6, 1.0)
    wait_for(lambda: any(line.endswith(" 2") for line in measured(dies)))  # at the top rung
    other = start(url, lives, 6, 0.0)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    ends(other)
    there = records(url)
    assert [record.state for record in there] == ["complete"] * 6
    assert len({record.policy for record in there}) == 6
    begun = next(iter(measured(dies))).split()[0]
    assert [line for line in measured(lives) if begun in line] == [f"{begun} 2"]
    assert [record.number for record in there if record.policy.key == begun] != [0]


def test_a_process_that_comes_back_goes_on_under_its_own_number(
    postgres: Server, tmp_path: Path, start: Start
) -> None:
    url = postgres.create(uuid.uuid4().hex)
    folder = tmp_path / "mine"
    killed = start(url, folder, 3, 0.4)
    wait_for(lambda: any(line.endswith(" 1") for line in measured(folder)))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    ends(start(url, folder, 3, 0.0))
    assert [record.number for record in records(url)] == [0, 1, 2]
    doubled = [line for line, times in measured(folder).items() if times > 1]
    assert len(doubled) <= 1  # the rung that was under way


@pytest.mark.usefixtures("quick")
def test_a_trial_killed_before_it_had_a_policy_does_not_count(
    url: str, tmp_path: Path, space: Space
) -> None:
    with shared(url, tmp_path / "first", space) as opened:
        study = opened.study
        study.ask()  # the start, taken by somebody who is killed at once
        study.ask()
    with shared(url, tmp_path / "second", space) as opened:
        study = opened.study
        work(opened, toy(space, explore=1.0), 4)
        there = load_records(study)
        assert [record.state for record in there] == ["complete"] * 4
        assert Counter(record.origin for record in there) == {"uniform": 1, "random": 3}
        assert [t.state for t in study.trials[:2]] == [TrialState.FAIL] * 2


@pytest.mark.usefixtures("quick")
def test_a_process_that_was_thought_dead_hands_its_result_on(
    url: str, tmp_path: Path, space: Space
) -> None:
    evaluator = toy(space, Slow(tmp_path), explore=1.0)
    with shared(url, tmp_path / "slow", space) as opened:
        study = opened.study
        ledger = Ledger(opened, evaluator, 1, lambda _: None)
        record = ledger.next()
        assert record is not None
        result = evaluator.evaluate_rung(record.candidate, 0, record.seed)
        storage_of(study).set_trial_state_values(trial_id_of(study.trials[0]), TrialState.FAIL)
        peers.requeue(study, study.trials[0])
        assert ledger.add(record, result).state == "failed"
        successor = ledger.next()
        assert successor is not None
        assert (successor.number, successor.proxies) == (1, result.proxies)
        assert [r.number for r in load_records(study)] == [1]
        assert list((tmp_path / "slow" / "unsaved").iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_process_whose_time_is_over_leaves_its_trial_to_others(
    url: str, tmp_path: Path, space: Space
) -> None:
    evaluator, over = toy(space, Slow(tmp_path), explore=1.0), [False]
    limit = TimeLimit(1e9, reserve=lambda: math.inf if over[0] else 0.0)
    with shared(url, tmp_path / "first", space) as opened:
        opened.study.enqueue_trial(dict(space.uniform(0.3)))
        ledger = Ledger(opened, evaluator, 2, lambda _: None, limit)
        uniform, other = ledger.next(), ledger.next()
        assert uniform is not None
        assert other is not None
        over[0] = True
        stored = [
            ledger.add(record, evaluator.evaluate_rung(record.candidate, 0, record.seed))
            for record in (uniform, other)
        ]
        assert [ledger.goes_on(record) for record in stored] == [True, False]
        work(opened, evaluator, 2, limit)  # goes on with uniform widths, and waits for nobody
        assert [record.state for record in load_records(opened.study)] == ["complete", "running"]
    with shared(url, tmp_path / "second", space) as opened:
        work(opened, evaluator, 2)
        there = load_records(opened.study)
        assert [(record.number, record.state) for record in there] == [
            (0, "complete"),
            (2, "complete"),
        ]
    assert set(measured(tmp_path).values()) == {1}


@pytest.mark.usefixtures("quick")
def test_a_process_whose_time_is_over_waits_for_others_no_longer_than_that(
    url: str, tmp_path: Path, space: Space
) -> None:
    evaluator = toy(space, explore=1.0)
    with shared(url, tmp_path / "works", space) as opened:
        assert Ledger(opened, evaluator, 4, lambda _: None).next() is not None
        with shared(url, tmp_path / "waits", space) as late:
            began = time.perf_counter()
            limit = TimeLimit(4 * HEARTBEAT_S, reserve=lambda: math.inf)
            with pytest.raises(SearchStopped, match="other processes go on with the search"):
                work(late, evaluator, 4, limit)
            assert time.perf_counter() - began >= 4 * HEARTBEAT_S
            assert len(load_records(late.study)) == 1


@pytest.mark.usefixtures("quick")
def test_a_lease_is_one_process_at_a_time_and_outlives_nobody(
    url: str, engine: sqlalchemy.Engine, tmp_path: Path, space: Space
) -> None:
    said: list[str] = []
    with shared(url, tmp_path, space) as opened:
        dead = lease_of(opened, engine, "here:dead#1")
        assert dead.take()
        with opened.peers.exclusively("trains", lambda: False, said.append) as ours:
            assert ours
            time.sleep(3 * 6 * HEARTBEAT_S)  # much longer than it takes to be dead
            late = lease_of(opened, engine, "here:late")
            assert not late.take()
            time.sleep(3 * HEARTBEAT_S)
            assert not late.take()
        assert said == ["waiting for here:dead, which trains"]
        assert late.take()
        with opened.peers.exclusively("trains", lambda: True, said.append) as ours:
            assert not ours


def test_a_lease_dropped_while_it_is_being_renewed_is_dropped(
    url: str, engine: sqlalchemy.Engine, tmp_path: Path, space: Space
) -> None:
    """As by the heartbeat's thread and the main one."""
    with shared(url, tmp_path, space) as opened:
        ours = lease_of(opened, engine, "here:ours")
        assert ours.take()
        renewing, dropping = Thread(target=ours.renew), Thread(target=ours.drop)
        committed, goes_on = Event(), Event()

        @sqlalchemy.event.listens_for(engine, "checkin")
        def hold(*_: object) -> None:
            """The renewal is in the database, and nobody here has been told."""
            if current_thread() is renewing:
                committed.set()
                assert goes_on.wait(60)

        renewing.start()
        assert committed.wait(60)
        dropping.start()
        dropping.join(1)  # it waits for the renewal, or it would be through by now
        goes_on.set()
        for thread in (renewing, dropping):
            thread.join()
        assert lease_of(opened, engine, "here:next").take()


def test_a_lease_that_was_dropped_is_not_renewed(
    url: str, engine: sqlalchemy.Engine, tmp_path: Path, space: Space
) -> None:
    with shared(url, tmp_path, space) as opened:
        ours, others = (lease_of(opened, engine, name) for name in "ab")
        assert ours.take()
        ours.drop()
        ours.renew()
        assert others.take()
        ours.renew()
        assert not ours.take()
        assert ours.holder == "b"
