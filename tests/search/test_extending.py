"""A new arm is an entry in its table, a new way to compress one class and one table line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import results

EXTENDED = '''
"""The command line with an arm and a way to compress that the project does not know."""

import sys

from prune_ops.compression import WAYS
from prune_ops.compression.ternary import Ternary
from results import ARMS, Arm, TrainingSpec


class Thirds(Ternary):
    name = "thirds"
    label = "thirds of a bit"
    note = "Nobody has described this way."


ARMS["head"] = Arm(
    "head",
    "inherited weights, trained for a single epoch",
    "training for a single epoch",
    lambda schedule: TrainingSpec(schedule.rate, epochs=1),
)
WAYS["thirds"] = Thirds()

from search.cli import main

sys.exit(main())
'''
SEARCH = [
    *("--trials", "4", "--starts", "l1", "--rungs", "1", "--train-images", "128", "--repeats", "0"),
    *("--final-epochs", "2", "--final-seeds", "2", "--compression-baselines", "thirds"),
    *("--lr", "0.005"),
]
COMPARE = ["--seeds", "2", "--rates", "0.005", "--base-epochs", "1", "--front", "1"]
ARMS = ["--arms", "finetune", "head"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("extended")
    script = where / "extended.py"
    script.write_text(EXTENDED)
    command = [sys.executable, str(script), "compare", *SEARCH, "--name", "run", *COMPARE, *ARMS]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "head" in done.stdout
    return where / "runs" / "run"


def test_the_arm_is_in_tables_report_and_verdict(folder: Path) -> None:
    table = pd.read_csv(folder / "comparison.csv")
    assert set(table[table.arm == "head"].epochs) == {1}
    differences = pd.read_csv(folder / "contrasts.csv")
    assert differences.name.str.contains("finetune - head").any()
    assert differences.sentence.str.contains("training for a single epoch").any()
    assert (
        "head: inherited weights, trained for a single epoch."
        in (folder / "report.html").read_text()
    )


def test_the_way_is_in_tables_and_report(folder: Path) -> None:
    table = pd.read_csv(folder / "compression_baselines.csv")
    thirds = table[table.way == "thirds"]
    assert (len(thirds), thirds.test_accuracy.between(0, 1).all()) == (2, True)
    page = (folder / "report.html").read_text()
    assert "thirds of a bit" in page
    assert "Nobody has described this way." in page


def test_a_version_that_does_not_know_them_reads_the_run_all_the_same(folder: Path) -> None:
    run = results.load(folder)
    assert {record.arm for record in run.compared.arms} == {"finetune", "head"}
    assert "thirds of a bit" in run.report().read_text()
