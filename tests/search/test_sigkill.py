"""SIGKILL at twenty random moments of a real search and its comparison: the study is readable after
each, nothing that had ended is lost, and what is resumed to the end is what nobody disturbed.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
from untimed import untimed
from waiting import PATIENCE

import results
from results import TrialRecord
from spaces import UserError

ROOT = Path(__file__).parents[2]
KILLS = 20
# With random proposals and every trial promoted by --explore, no trial depends on another: one
# worker and two give the same table.
SEARCH = (
    *("--trials", "8", "--rungs", "1", "--sampler", "random", "--explore", "1"),
    *("--train-images", "200", "--final-epochs", "1", "--final-seeds", "2"),
    *("--repeats", "2", "--compression-baselines", "magnitude"),
)
COMPARE = (sys.executable, "search.py", "compare")
COMPARISON = (
    *("--seeds", "1", "--front", "1", "--structures", "searched", "slimming"),
    *("--base-epochs", "1", "--rates", "0.01", "0.003"),
)

# A worker whose parent is killed before it has said what the worker is for: spawned that moment,
# it runs no code but the interpreter's own, and nobody can keep it from saying so.
ORPHAN = re.compile(
    r'Traceback \(most recent call last\):\n  File "<string>", line 1, in <module>\n'
    r'(?: .*\n)*?  File ".*multiprocessing/spawn\.py", line \d+, in spawn_main\n'
    r"(?: .*\n)*?    preparation_data = reduction\.pickle\.load\(from_parent\)\n"
    r"(?: .*\n)*?EOFError: Ran out of input\n"
)


@dataclass
class Attempts:
    """One run, begun as often as it takes.

    Attributes:
        ended: the trials that were seen to have ended, by number.
        trained: the trainings that were seen to have ended, as JSON: there NaN equals itself.
    """

    folder: Path
    ended: dict[int, TrialRecord] = field(default_factory=dict)
    trained: frozenset[str] = frozenset()

    def start(self, workers: int) -> subprocess.Popen[bytes]:
        name, runs = self.folder.name, self.folder.parent
        begin = [*SEARCH, "--name", name, "--runs-dir", str(runs)]
        run = [str(self.folder)] if (self.folder / "finished").is_file() else begin
        with open(runs / f"{name}.errors", "ab") as errors:
            return subprocess.Popen(
                [*COMPARE, *run, *COMPARISON, "--workers", str(workers)],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )

    def look(self) -> bool:
        """Whether there is a study; it must hold whatever was seen to have ended."""
        try:
            run = results.load(self.folder)
        except UserError:
            assert not self.ended
            return False
        records = {record.number: record for record in run.records}
        assert {number: records[number] for number in self.ended} == self.ended
        trained = frozenset(record.to_json() for record in run.training_records)
        assert self.trained <= trained
        self.trained = trained
        self.ended = {n: record for n, record in records.items() if record.state != "running"}
        return True

    def end(self) -> None:
        process = self.start(workers=1)
        assert process.wait(timeout=PATIENCE) == 0, self.errors()

    def errors(self) -> str:
        return self.folder.with_name(f"{self.folder.name}.errors").read_text()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the baseline is trained once."""
    return Path(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def whole(runs: Path) -> tuple[results.Run, float]:
    """What nobody disturbed, and how many seconds it takes."""
    began = time.monotonic()
    Attempts(runs / "whole").end()
    return results.load(runs / "whole"), time.monotonic() - began


def kill(process: subprocess.Popen[bytes], *, alone: bool) -> None:
    """The whole group at once, or the parent alone: then its workers have to notice."""
    if alone:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def disturbed(attempts: Attempts, after: float, *, workers: int, alone: bool) -> bool:
    """Go on and kill it after so many seconds; whether it was still at work."""
    process = attempts.start(workers)
    try:
        assert process.wait(timeout=after) == 0, attempts.errors()
        return False
    except subprocess.TimeoutExpired:
        there = attempts.look()
        kill(process, alone=alone)
        assert attempts.look() or not there
        return True


def tables(run: results.Run) -> dict[str, pd.DataFrame]:
    """All tables, without times; trainings in no order, as two workers end in any."""
    made = {name: untimed(table(run)) for name, table in results.TABLES.items()}
    made["trainings"] = made["trainings"].sort_values(list(made["trainings"]), ignore_index=True)
    return made


def check(attempts: Attempts, whole: results.Run) -> None:
    assert attempts.look()
    run = results.load(attempts.folder)
    assert [record.number for record in run.records] == list(range(8))
    assert {record.state for record in run.records} == {"complete"}
    expected = tables(whole)
    for name, found in tables(run).items():
        pd.testing.assert_frame_equal(found, expected[name], obj=name)
    assert len(run.front) > 0
    assert not list(run.folder.glob("checkpoints*"))
    assert "Traceback" not in ORPHAN.sub("", attempts.errors())


def test_a_run_killed_at_random_moments_loses_nothing(
    runs: Path, whole: tuple[results.Run, float]
) -> None:
    run, seconds = whole
    draw, kills = random.Random(0), 0
    for number in count():
        attempts = Attempts(runs / f"killed-{number}")
        at_work = True
        while kills < KILLS and at_work:
            workers, alone = draw.choice([(1, False), (1, False), (2, False), (2, True)])
            after = draw.uniform(0, seconds)
            at_work = disturbed(attempts, after, workers=workers, alone=alone)
            kills += at_work
        if at_work:
            attempts.end()
        check(attempts, run)
        if kills == KILLS:
            return
