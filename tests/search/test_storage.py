"""``--storage`` from the command line: two machines' worth of folders on one PostgreSQL."""

from __future__ import annotations

import json
import re
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import postgres as real
import pytest
from commands import Command
from postgres import Server
from waiting import PATIENCE, wait_for, wait_until

import results
from search.cli import USER_ERROR, main
from search.sharing.connection import connected
from search.sharing.lease import Lease
from search.study.storage import DIRECTIONS

ROOT = Path(__file__).parents[2]
TRIALS = 6


@pytest.fixture
def command(untrained: Path) -> list[str]:
    options = ["--trials", str(TRIALS), "--explore", "1", "--train-images", "400"]
    options += ["--repeats", "0", "--final-epochs", "1", "--final-seeds", "1"]
    return [*options, "--name", "mine", "--weights", str(untrained)]


Start = Callable[..., Command]


@pytest.fixture
def start(command: list[str]) -> Iterator[Start]:
    """Starts a search in a folder of its own."""
    begun = []

    def start(runs: Path, *arguments: str, beat: str = "0.3") -> Command:
        arguments = (*command, "--runs-dir", str(runs), *arguments)
        begun.append(Command(arguments, {"PRUNING_SEARCH_BEAT": beat}))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()


def one_complete(run: results.Run) -> bool:
    return any(record.state == "complete" for record in run.records)


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "trials.csv")


def test_a_killed_machine_costs_nothing_and_both_folders_have_the_report(
    postgres: Server, tmp_path: Path, start: Start
) -> None:
    url = postgres.create(uuid.uuid4().hex)
    dies, lives = tmp_path / "dies", tmp_path / "lives"
    killed = start(dies, "--storage", url)
    wait_until(dies / "mine", lambda run: any(r.rung for r in run.records), killed, url)
    before = {r.policy for r in results.load(dies / "mine", url).records}
    other = start(lives, "--storage", url)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    _, errors = other.communicate(timeout=PATIENCE)
    assert other.returncode == 0, errors
    records = results.load(lives / "mine", url).records
    assert [record.state for record in records] == ["complete"] * TRIALS
    policies = [record.policy for record in records]
    assert len(set(policies)) == TRIALS
    assert before <= set(policies)
    back = start(dies, "--storage", url)  # to find all of it done
    printed, errors = back.communicate(timeout=PATIENCE)
    assert back.returncode == 0, errors
    assert (dies / "mine" / "report.html").is_file()
    pd.testing.assert_frame_equal(table(dies / "mine"), table(lives / "mine"))
    assert not (dies / "mine" / "models").exists()
    assert printed.splitlines()[-1].endswith(f":{lives / 'mine' / 'models'}")
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert real.PASSWORD.encode() not in file.read_bytes()


def measured_in(*folders: Path) -> Counter[str]:
    """How often each rung of a policy was measured, and each network trained, by the logs."""
    lines = [line for f in folders for line in (f / "log.txt").read_text().splitlines()]
    rungs = [re.search(r"trial \d+ (rung \d+) on .*(policy .*)", line) for line in lines]
    trained = [re.search(r"(trained .*?, .*?): .*(policy .*)", line) for line in lines]
    return Counter(" ".join(found.groups()) for found in (*rungs, *trained) if found)


def test_two_processes_extend_their_run_together_and_nothing_is_measured_twice(
    postgres: Server, tmp_path: Path, start: Start
) -> None:
    url = postgres.create(uuid.uuid4().hex)
    runs = tmp_path / "a", tmp_path / "b"
    folders = [run / "mine" for run in runs]
    asked = "--storage", url, "--lr", "0.01", "--trials", "3", "--starts", "l1", "--no-gains"

    def both(*arguments: str) -> results.Run:
        for process in [start(run, *asked, *arguments, beat="2") for run in runs]:
            _, errors = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, errors
        first, second = (results.load(folder, url) for folder in folders)
        assert first.records == second.records
        assert first.finals == second.finals
        return first

    begun = both()
    more = ["--trials", "7", "--final-seeds", "2", "--repeats", "2", "--gains"]
    grown = both("--resume", *more)
    assert grown.records[:3] == begun.records
    assert [r.state for r in grown.records] == ["complete"] * 7
    assert (begun.finals[1].seeds, grown.finals[1].seeds) == ((0,), (0, 1))
    assert (len(grown.repeats), len(grown.gain_steps)) == (2, 3)
    assert any(len([*(folder / "models").glob("*/model.safetensors")]) > 3 for folder in folders)
    known = measured_in(*folders)
    assert not [what for what, times in known.items() if times > 1]
    rungs = sum(record.rung + 1 for record in grown.records)
    assert known.total() == rungs + len(grown.training_records)
    assert both("--resume", *more).finals == grown.finals
    assert measured_in(*folders) == known


def test_a_lost_database_is_one_line_with_the_command_that_goes_on(
    tmp_path: Path, start: Start
) -> None:
    bin = real.binaries()
    if bin is None:
        pytest.skip("PostgreSQL's server is not installed: apt-get install postgresql")
    with real.server(bin) as server:
        folder, url = tmp_path / "mine", server.url()
        process = start(tmp_path, "--storage", url)
        wait_until(folder, one_complete, process, url)
        before = [r for r in results.load(folder, url).records if r.state == "complete"]
        server.stop()
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == USER_ERROR
        line = errors.splitlines()[-1]
        _, _, resume = line.partition("; go on with: python search.py ")
        shown = server.url("PASSWORD")
        assert resume == f"--resume --name mine --runs-dir {tmp_path} --storage '{shown}'"
        server.start()
        again = start(tmp_path, "--resume", "--storage", url)
        _, errors = again.communicate(timeout=PATIENCE)
        assert again.returncode == 0, errors
        records = results.load(folder, url).records
    assert [record.state for record in records] == ["complete"] * TRIALS
    assert len({record.policy for record in records}) == TRIALS
    assert [records[record.number] for record in before] == before
    assert not (folder / "unsaved").exists()


def test_another_config_on_the_name_is_refused_naming_the_differences(
    postgres: Server, tmp_path: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.create(uuid.uuid4().hex)
    first = start(tmp_path / "a", "--storage", url, "--trials", "1")
    _, errors = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, errors
    capsys.readouterr()
    asked = ["--storage", url, "--name", "mine", "--runs-dir", str(tmp_path / "b")]
    assert main([*asked, "--trials", "7", "--seed", "3"]) == USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert "'mine' must have one config" in line
    assert "--trials 1 there, 7 here" in line
    assert "--seed 0 there, 3 here" in line
    assert not (tmp_path / "b").exists()


def test_ctrl_c_ends_the_waiting(postgres: Server, tmp_path: Path, start: Start) -> None:
    url = postgres.create(uuid.uuid4().hex)
    storage = connected(url)
    study_id = storage.create_new_study(DIRECTIONS, "mine")
    assert Lease(storage.engine, study_id, "begins the run", "db1:/runs/mine#1").take()
    storage.engine.dispose()
    process = start(tmp_path, "--storage", url, beat="15")
    waits = "waiting for db1:/runs/mine, which begins the run\n"
    wait_for(lambda: waits in process.errors, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    *_, last = errors.splitlines()
    assert last.startswith("interrupted; go on with: python search.py --resume --name mine ")


def test_a_run_stays_in_the_storage_it_began_in(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    begun = {"run": {"name": "mine", "storage": "postgresql://ada@db/studies"}}
    (folder / "config.json").write_text(json.dumps({"config": begun}))
    for given in ([], ["--storage", "postgresql://ada:secret@other/studies"]):
        assert main([*command, "--runs-dir", str(tmp_path), *given]) == USER_ERROR
        (line,) = capsys.readouterr().err.splitlines()
        assert "has postgresql://ada@db/studies, and --storage is " in line
        assert "secret" not in line
