"""A comparison of a real run on digits: from its folder to the tables, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from comparisons import SIX
from waiting import PATIENCE, wait_until

import results
import search
from results import opening
from results.contrasts import verdict
from results.spending import times_tested
from search.cli import main
from search.config import SearchConfig
from spaces import UserError

SMALL: dict[str, Any] = {"seeds": 2, "rates": (0.03, 0.01), "base_epochs": 1, "front": 1}
FLAGS = ["--seeds", "2", "--rates", "0.03", "0.01", "--base-epochs", "1", "--front", "1"]
RUN: dict[str, Any] = {
    "budget": 0.5,
    "trials": 6,
    "rungs": (1,),
    "final_epochs": 1,
    "final_seeds": 1,
    "lr": 0.005,
    "train_images": 256,
    "repeats": 2,
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run that was never compared."""
    runs = tmp_path_factory.mktemp("runs")
    return search.search(**RUN, runs_dir=str(runs), name="searched").folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path) -> Path:
    """The same run, for this test alone."""
    shutil.copytree(searched.parent / ".cache", tmp_path / ".cache")
    return Path(shutil.copytree(searched, tmp_path / "searched"))


@pytest.fixture(scope="module")
def compared(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> results.Run:
    runs = tmp_path_factory.mktemp("compared")
    shutil.copytree(searched.parent / ".cache", runs / ".cache")
    return search.compare(shutil.copytree(searched, runs / "searched"), **SMALL)


def test_the_table_has_a_row_for_every_training(compared: results.Run) -> None:
    table = compared.comparison
    names = {"uniform", *table.structure[table.best]}
    assert set(table.structure) == names
    assert len(table) == len(names) * len(SIX) * 2
    assert table.test_accuracy.between(0, 1).all()
    assert results.load(compared.folder).compared == compared.compared
    assert compared.compared.complete


def test_the_report_and_the_tables_show_it(compared: results.Run) -> None:
    page = (compared.folder / "report.html").read_text()
    assert "Fine-tune or from scratch?" in page
    assert (compared.folder / "comparison.csv").is_file()


def test_the_report_command_prints_what_the_comparison_says_too(
    compared: results.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = str(tmp_path / "page.html")
    assert main(["report", str(compared.folder), "--out", page]) == 0
    said = "".join(capsys.readouterr().out.split())  # wrapped anywhere
    for sentence in (*verdict(compared.compared), f"report: {page}"):
        assert "".join(sentence.split()) in said


def test_repeats_give_the_report_a_noise_ceiling(compared: results.Run) -> None:
    assert len(compared.repeats) == 2
    assert {r.policy for r in compared.repeats} <= {r.policy for r in compared.records}
    assert not {r.seed for r in compared.repeats} & {r.seed for r in compared.records}


def test_compared_again_nothing_is_trained_and_other_epochs_are_refused(
    folder: Path, compared: results.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(compared.folder / "study.db", folder / "study.db")
    (folder / "study.db-wal").unlink(missing_ok=True)
    monkeypatch.setattr(
        "search.evaluation.evaluator.train", lambda *_, **__: pytest.fail("trained again")
    )
    assert search.compare(folder, **SMALL).compared == compared.compared
    assert search.compare(folder).compared == compared.compared  # goes on as it began
    with pytest.raises(UserError, match=r"--base-epochs 1 there, 2 here; use these, or --anew"):
        search.compare(folder, **SMALL | {"base_epochs": 2})


def test_anew_throws_away_what_was_measured(folder: Path, compared: results.Run) -> None:
    shutil.copy(compared.folder / "study.db", folder / "study.db")
    (folder / "study.db-wal").unlink(missing_ok=True)
    asked = {"base_epochs": 2, "front": 1, "anew": True, "arms": ("scratch-e",), "seeds": 1}
    again = search.compare(folder, **asked)
    assert {(r.arm, r.epochs, r.seed) for r in again.compared.arms} == {("scratch-e", 2, 0)}
    # What was thrown away was read all the same.
    fresh = len({r.policy for r in again.compared.arms})
    assert times_tested(again)[1] == times_tested(compared)[1] + fresh


def test_with_one_seed_it_works_and_says_that_no_interval_can_be_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*FLAGS, "--seeds", "1", "--arms", "finetune", "scratch-b+"]
    assert main(["compare", str(folder), *flags]) == 0
    assert "no interval can be given" in " ".join(capsys.readouterr().out.split())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["compare", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "RUN must be the folder of a run" in refused(capsys, str(tmp_path / "nowhere"))
    assert "RUN must be the folder of a run" in refused(capsys, str(tmp_path))


def test_a_run_without_finished_trials_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opening.open_run(folder) as study:
        begun = [t for t in study.get_trials() if "record" in t.user_attrs]
        there = {t._trial_id: json.loads(t.user_attrs["record"]) for t in begun}
    for trial, record in there.items():
        _overwrite(folder / "study.db", trial, json.dumps(record | {"state": "failed"}))
    said = refused(capsys, str(folder))
    assert "needs a run with finished trials" in said
    assert "has none of 6; finish it with: python search.py --resume --name searched" in said


def _overwrite(database: Path, trial_id: int, text: str) -> None:
    """Optuna lets nobody change a finished trial."""
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE trial_id = ? AND key = 'record'",
            (json.dumps(text), trial_id),
        )


def test_a_config_that_names_another_model_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["config"]["task"]["model"] = "resnet20"
    (folder / "config.json").write_text(json.dumps(config))
    said = refused(capsys, str(folder))
    assert "config.json must be as its study has it, but differs: --model digits_s" in said


def test_a_search_comes_first_where_no_run_is_named(
    tmp_path: Path, searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(searched.parent / ".cache", tmp_path / ".cache")
    options = SearchConfig.of(**RUN).command.split()[2:]
    arms = ["--arms", "finetune", "scratch-e"]
    assert main(["compare", *options, "--runs-dir", str(tmp_path), *FLAGS, *arms]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "weights" in said
    run = results.load(tmp_path / "digits_small-0.5")
    assert {r.arm for r in run.compared.arms} == {"finetune", "scratch-e"}


def test_ctrl_c_keeps_what_was_trained_and_says_how_to_go_on(folder: Path) -> None:
    process = Command(["compare", str(folder), *FLAGS, "--seeds", "5"])
    wait_until(folder, lambda run: len(run.compared.arms) >= 5, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    last = errors.strip().splitlines()[-1]
    assert last.startswith(f"interrupted; go on with: python search.py compare {folder} --seeds 5")
    kept = results.load(folder).compared
    assert len(kept.arms) >= 5
    assert not kept.complete
