"""What a comparison goes on from, and what is refused, of runs in which nothing was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

import results
from results import Comparison, Provenance, TrialRecord, opening, store
from search import commands
from search.cli import main
from search.comparison.config import CompareConfig
from search.comparison.resuming import (
    check_finished,
    check_options,
    folder_of,
    options_of,
    resume_command,
)
from search.config import SearchConfig
from search.folder import Folder
from search.study.extent import end
from spaces import Policy, UserError

HALF_TUNED = {"arms": ["finetune-half", "scratch-e"], "seeds": 2, "base_epochs": 7}
"""Stored options of a comparison that another version began."""

TRIAL = TrialRecord(
    number=0,
    policy=Policy({"stem": 8}),
    origin="uniform",
    criterion="second_order",
    flops=500,
    flops_fraction=0.5,
    params=80,
    accuracy=(0.5, 0.6),
    epochs=(1, 3),
    state="complete",
)

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes the folder of a run whose search has ended, with these options of its comparison."""

    def made(compared: dict[str, Any] | None = None, **config: Any) -> Path:
        folder = tmp_path / "one"
        folder.mkdir()
        about = {"config": SearchConfig.of(name="one").to_dict(), "id": "0"}
        for part in about["config"].values():
            part.update({name: value for name, value in config.items() if name in part})
        (folder / "config.json").write_text(json.dumps(about))
        study = optuna.create_study(study_name="one", storage=f"sqlite:///{folder / 'study.db'}")
        store.save(study, store.PROVENANCE, Provenance(run="one"))
        store.save(study, store.COMPARISON, Comparison(options=compared or {}))
        attributes = {"record": TRIAL.to_json()}
        study.add_trial(optuna.create_trial(value=0.6, user_attrs=attributes))
        (folder / "finished").touch()
        return folder

    return made


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["compare", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_an_arm_that_this_version_does_not_know_is_said_to_be_the_runs(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(HALF_TUNED)
    assert refused(capsys, str(run)) == (
        f"error: the comparison of {run} must have options that this version knows, but it began "
        "with others: unknown arms 'finetune-half', did you mean 'finetune-small'? Known: "
        "distilled, finetune, finetune-small, random-channels, scratch-b, scratch-b+, scratch-e; "
        "use the version that began it, or --anew to throw away what it measured\n"
    )
    assert refused(capsys, str(run), "--arms", "scrath-e").startswith("error: unknown arms 'scrath")
    given = options_of(folder_of(run, {}), {"anew": True})
    assert given.arms == CompareConfig().arms


def test_options_that_are_given_stand_in_the_place_of_stored_ones(make: Make) -> None:
    folder = folder_of(make(HALF_TUNED), {})
    asked = options_of(folder, {"arms": ["scratch-e"]})
    assert (asked.arms, asked.seeds, asked.base_epochs) == (("scratch-e",), 2, 7)
    check_options(Comparison(options=HALF_TUNED), asked, folder)
    with pytest.raises(UserError, match="differs: --base-epochs 7 there, 8 here"):
        check_options(Comparison(options=HALF_TUNED), asked.having(base_epochs=8), folder)


def test_a_way_to_compress_that_this_version_does_not_know_is_named(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(compression_baselines=["magnitude", "lottery"])
    said = refused(capsys, str(run))
    assert said.startswith(
        f"error: {run}/config.json must have options that this version knows, but has others: "
        "unknown compression-baselines 'lottery'"
    )
    assert said.endswith("; use the version that began the run, or begin another one\n")
    assert main(["--resume", "--name", "one", "--runs-dir", str(run.parent)]) == 2
    assert capsys.readouterr().err == said


def test_a_search_that_was_interrupted_is_finished_first(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make()
    (run / "finished").unlink()
    assert refused(capsys, str(run)) == (
        f"error: compare needs a run whose search has ended, but that of {run} has not; finish it "
        f"with: python search.py --resume --name one --runs-dir {run.parent}\n"
    )


def test_a_search_has_ended_where_its_folder_or_its_study_says_so(make: Make) -> None:
    run = make()
    check_finished(results.load(run), folder_of(run, {}))
    (run / "finished").unlink()  # as where the finals were another process's
    with opening.open_run(run) as study:
        end(study, SearchConfig())
    check_finished(results.load(run), folder_of(run, {}))


def test_the_command_to_go_on_has_cluster_and_database(make: Make) -> None:
    url = "postgresql://me:secret@db/studies"
    run = make(storage="postgresql://me@db/studies")
    cluster = {"engine": "ray", "address": "10.0.0.1:6379", "storage": url}
    options = CompareConfig.of(seeds=5, rates=[0.1, 0.01])
    assert resume_command(folder_of(run, cluster), options) == (
        f"python search.py compare {run} --seeds 5 --rates 0.1 0.01 "
        "--storage 'postgresql://me:PASSWORD@db/studies' --engine ray --address 10.0.0.1:6379"
    )
    full = CompareConfig.asked({"full": True})
    assert resume_command(folder_of(run, {}), full) == f"python search.py compare {run} --full"
    assert resume_command(folder_of(run, {}), CompareConfig()) == f"python search.py compare {run}"


@pytest.mark.parametrize(
    "other", ["--name other", "--runs-dir other", "--name other --runs-dir there"]
)
def test_a_run_has_no_other_name_or_place(
    other: str, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, str(make()), *other.split(), "--resume") == (
        f"error: RUN must say alone which run it is, but got {other} too; leave that out\n"
    )


def test_a_run_may_be_named_from_inside(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make()
    (run / "models").mkdir()
    monkeypatch.chdir(run / "models")
    assert folder_of("..", {"name": "one"}).path == run.resolve()


@pytest.mark.parametrize("named", [[], ["--name", "one"]])
def test_without_a_run_a_finished_search_goes_on_with_its_comparison(
    named: list[str], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, compared = make({"seeds": 2, "base_epochs": 7}), []

    def execute(folder: Folder, config: CompareConfig, progress: object) -> results.Run:  # noqa: ARG001
        compared.append((folder.path, config.seeds, config.base_epochs))
        return results.load(folder.path)

    monkeypatch.setattr(commands, "execute", lambda *_, **__: pytest.fail("searched again"))
    monkeypatch.setattr(commands, "execute_comparison", execute)
    resumed = ["--resume", *named, "--runs-dir", str(run.parent)]
    assert main(["compare", *resumed, "--seeds", "3"]) == 0
    assert compared == [(run, 3, 7)]


def test_without_a_run_an_interrupted_search_is_finished_first(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, done = make(), []
    (run / "finished").unlink()
    monkeypatch.setattr(commands, "execute", lambda folder, **_: done.append(folder.path))
    monkeypatch.setattr(
        commands, "execute_comparison", lambda folder, *_, **__: results.load(folder.path)
    )
    assert main(["compare", "--resume", "--runs-dir", str(run.parent)]) == 0
    assert done == [run]


def test_an_option_that_the_run_did_not_begin_with_is_to_be_left_out(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, str(make()), "--trials", "5")
    assert said.endswith("differs: --trials 48 there, 5 here; leave these out\n")
