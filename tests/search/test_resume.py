"""Kill a real run in the middle of its work; nothing may be lost, and nothing done twice."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from commands import Command
from untimed import untimed
from waiting import PATIENCE, wait_until

import results

OPTIONS = (
    *("--trials", "6", "--rungs", "1", "--repeats", "2", "--final-epochs", "4"),
    *("--train-images", "200", "--starts", "l1", "--final-seeds", "2"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the baseline is trained once."""
    return Path(tmp_path_factory.mktemp("runs"))


def start(runs: Path, *arguments: str) -> Command:
    return Command([*OPTIONS, "--runs-dir", str(runs), *arguments])


def finish(process: Command) -> tuple[int | None, str]:
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors


def interrupt(process: Command) -> tuple[int | None, str]:
    """Ctrl-C in a terminal."""
    process.send_group(signal.SIGINT)
    return finish(process)


def preempt(process: Command) -> tuple[int | None, str]:
    """As a cluster does: SIGTERM, to the workers too."""
    process.send_group(signal.SIGTERM)
    return finish(process)


def kill(process: Command) -> tuple[int | None, str]:
    """Of the parent alone; its workers have to notice."""
    process.kill()
    return finish(process)


def trained(number: int) -> Callable[[results.Run], bool]:
    return lambda run: any(r.number >= number and r.rung for r in run.records)


def in_finals(run: results.Run) -> bool:
    return len(run.finals) > 1


def without_times(folder: Path) -> pd.DataFrame:
    return untimed(pd.read_csv(folder / "trials.csv"))


@pytest.fixture(scope="module")
def whole(runs: Path) -> Path:
    """A run that nobody disturbed."""
    code, errors = finish(start(runs, "--name", "whole"))
    assert code == 0, errors
    return runs / "whole"


def test_a_run_killed_twice_ends_as_if_nothing_had_happened(runs: Path, whole: Path) -> None:
    folder = runs / "killed"
    for reached in (trained(3), in_finals):
        process = start(runs, "--name", "killed")
        wait_until(folder, reached, process)
        assert kill(process)[0] == -signal.SIGKILL
    before = results.load(folder)
    code, errors = finish(start(runs, "--resume", "--name", "killed"))
    assert code == 0, errors
    after = results.load(folder)
    pd.testing.assert_frame_equal(without_times(folder), without_times(whole))
    assert after.records == before.records
    assert [f.test_accuracy for f in after.finals] == [
        f.test_accuracy for f in results.load(whole).finals
    ]
    assert after.finals[1].test_accuracy[:1] == before.finals[1].test_accuracy[:1]


def test_ctrl_c_keeps_the_record_and_says_how_to_go_on(runs: Path, whole: Path) -> None:
    process = start(runs, "--name", "interrupted")
    wait_until(runs / "interrupted", trained(1), process)
    code, errors = interrupt(process)
    assert code == 130
    command = f"python search.py --resume --name interrupted --runs-dir {runs}"
    assert errors.splitlines()[-1] == f"interrupted; go on with: {command}"
    assert "Traceback" not in errors
    records = results.load(runs / "interrupted").records
    assert len(pd.read_csv(runs / "interrupted" / "trials.csv")) == len(records) >= 2
    assert finish(start(runs, "--resume", "--name", "interrupted"))[0] == 0
    pd.testing.assert_frame_equal(without_times(runs / "interrupted"), without_times(whole))


def test_a_disturbed_run_with_workers_loses_no_trial(runs: Path, whole: Path) -> None:
    assert whole.is_dir()  # its baseline is in the cache by now
    folder = runs / "workers"
    ended: list[results.TrialRecord] = []
    for number, disturb, code in (
        *((1, interrupt, 130), (2, preempt, 143)),
        (3, kill, -signal.SIGKILL),
    ):
        process = start(runs, "--name", "workers", "--workers", "2")
        wait_until(folder, trained(number), process)
        ended_with, errors = disturb(process)
        assert ended_with == code
        assert "Traceback" not in errors
        if code == 143:
            command = f"python search.py --resume --name workers --runs-dir {runs}"
            assert errors.splitlines()[-1] == f"terminated; go on with: {command}"
        ended += [r for r in results.load(folder).records if r.state != "running"]
    code, errors = finish(start(runs, "--resume", "--name", "workers", "--workers", "2"))
    assert code == 0, errors
    records = results.load(folder).records
    assert [r.number for r in records] == list(range(6))
    assert {r.state for r in records} <= {"complete", "stopped"}
    assert [records[r.number] for r in ended] == ended
