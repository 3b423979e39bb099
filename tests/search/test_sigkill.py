"""SIGKILL at random moments of every stage of a real search and its comparison: the study is
readable after each, nothing that had ended is lost, and what is resumed to the end is what nobody
disturbed.
"""

from __future__ import annotations

import random
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from commands import Command
from untimed import untimed
from waiting import PATIENCE, wait_for

import results
from results import TrialRecord
from results.training import BASELINES, COMPARISON, FINALS, RATES, REPEATS, SPARSE, SWEEP
from spaces import UserError

KILLS, RUNS = 20, 9
"""So many kills at least, and more if chance has spared a stage, but no more than so many runs."""

TRIALS = 8
# With random proposals and every trial promoted by --explore, no trial depends on another: one
# worker and two give the same table.
OF_SEARCH = (
    *("--trials", str(TRIALS), "--rungs", "1", "--sampler", "random", "--explore", "1"),
    *("--train-images", "200", "--final-epochs", "1", "--final-seeds", "2", "--starts", "l1"),
    *("--repeats", "2", "--compression-baselines", "magnitude"),
)
OF_COMPARISON = (
    *("--seeds", "1", "--front", "1", "--structures", "searched", "slimming"),
    *("--base-epochs", "1", "--rates", "0.02", "0.005"),
)


OF_ORDER = re.compile("explored|regardless|coin|unselected")
"""Columns on whether a trial was promoted against the rule: that depends on who came before."""


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

    def start(self, workers: int) -> Command:
        name, runs = self.folder.name, self.folder.parent
        begin = [*OF_SEARCH, "--name", name, "--runs-dir", str(runs)]
        run = [str(self.folder)] if (self.folder / "finished").is_file() else begin
        return Command(["compare", *run, *OF_COMPARISON, "--workers", str(workers)])

    def look(self, whole: results.Run) -> str:
        """The stage it is in; the study must hold whatever was seen to have ended."""
        try:
            run = results.load(self.folder)
        except UserError:
            assert not self.ended
            return START
        records = {record.number: record for record in run.records}
        assert {number: records[number] for number in self.ended} == self.ended
        trained = frozenset(record.to_json() for record in run.training_records)
        assert self.trained <= trained
        self.trained = trained
        self.ended = {n: record for n, record in records.items() if record.state != "running"}
        return stage_of(run, whole)

    def end(self) -> None:
        process = self.start(workers=1)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors


STAGES = (RATES, "trials", REPEATS, FINALS, BASELINES, SPARSE, SWEEP, COMPARISON)
"""In their order. A stage begins when the one before it has all its results."""

START = "start"
"""Before any result: imports, discovery, scores."""

KILLED_IN = (START, RATES, "trials", *STAGES[1:], COMPARISON)
"""The stages that a run is killed in, one after another; the longest twice."""

RESULT = re.compile(r" trial \d+ rung |trained .*? for (?P<purpose>[a-z ]+), ")


def logged(folder: Path) -> Counter[str]:
    """How many results of each stage a run's log tells of; one whose record was lost comes twice.

    To read it takes no time, so that a kill strikes where it is meant to.
    """
    log = folder / "log.txt"
    lines = log.read_text().splitlines() if log.exists() else ()
    found = filter(None, map(RESULT.search, lines))
    return Counter(match["purpose"] or "trials" for match in found)


def wait_for_stage(stage: str, draw: random.Random, folder: Path, process: Command) -> None:
    """Until a random moment of it."""
    if stage == START:
        time.sleep(draw.uniform(0, 3))
        return
    place = STAGES.index(stage)
    whole = logged(folder.with_name("whole"))
    count = draw.randrange(whole[stage])
    awaited = STAGES[place - 1] if not count and place else stage
    enough = count or whole[awaited] * bool(place)
    wait_for(lambda: logged(folder)[awaited] >= enough, process)
    time.sleep(draw.uniform(0, 0.1))


def stage_of(run: results.Run, whole: results.Run) -> str:
    """The stage that is under way."""
    if not run.records and not run.training_records:
        return START
    done, all_of_them = recorded(run), recorded(whole)
    return next((stage for stage in STAGES if done[stage] < all_of_them[stage]), "report")


def recorded(run: results.Run) -> Counter[str]:
    ended = sum(record.state != "running" for record in run.records)
    return Counter(trials=ended) + Counter(record.purpose for record in run.training_records)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the baseline is trained once."""
    return Path(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def whole(runs: Path) -> results.Run:
    """What nobody disturbed."""
    Attempts(runs / "whole").end()
    return results.load(runs / "whole")


def kill(process: Command, *, alone: bool) -> None:
    """The whole group at once, or the parent alone: then its workers have to notice."""
    if alone:
        process.kill()
    else:
        process.send_group(signal.SIGKILL)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, errors
    assert "Traceback" not in errors


def tables(run: results.Run) -> dict[str, pd.DataFrame]:
    """All tables, without times and what depends on order: two workers end their work in any."""
    made = {name: untimed(table(run)) for name, table in results.TABLES.items()}
    made["speeds"] = made["speeds"][["name", "batch", "size"]]
    made["trainings"] = made["trainings"].sort_values(list(made["trainings"]), ignore_index=True)
    return {
        name: table[[c for c in table if not OF_ORDER.search(c)]] for name, table in made.items()
    }


def check(attempts: Attempts, whole: results.Run) -> None:
    attempts.look(whole)
    run = results.load(attempts.folder)
    assert [record.number for record in run.records] == list(range(TRIALS))
    assert {record.state for record in run.records} == {"complete"}
    expected = tables(whole)
    for name, found in tables(run).items():
        pd.testing.assert_frame_equal(found, expected[name], obj=name)
    assert len(run.front) > 0
    assert not list(run.folder.glob("checkpoints*"))


def test_a_run_killed_in_every_stage_loses_nothing(runs: Path, whole: results.Run) -> None:
    draw, struck = random.Random(0), Counter[str]()
    for number in range(RUNS):
        attempts = Attempts(runs / f"killed-{number}")
        for stage in KILLED_IN:
            workers, alone = draw.choice([(1, False)] * 4 + [(2, False), (2, True)])
            process = attempts.start(workers)
            wait_for_stage(stage, draw, attempts.folder, process)
            kill(process, alone=alone)
            struck[attempts.look(whole)] += 1
        attempts.end()
        check(attempts, whole)
        if struck.keys() >= set(KILLED_IN) and struck.total() >= KILLS:
            break
    assert struck.keys() >= set(KILLED_IN)
    assert struck.total() >= KILLS
