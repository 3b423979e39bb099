"""The whole job on digits, through the Python API: what it returns and what it leaves."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from rich.console import Console
from untimed import untimed

import prune_ops
import results
import spaces
from results.decision import decisions, loading
from search import search
from search.errors import SearchStopped
from search.finishing import told_failures
from search.folder import resolve_folder
from search.progress import Progress
from search.run import execute
from search.task.building import build_task
from search.task.task import Task
from search.training import checkpoints
from search.training.checkpoints import InFolder, Saver, State
from spaces import Budget, UserError, fvcore_flops

PROXIES = ("predicted_damage", "reconstructed", "iso_damage")
OPTIONS = {"trials": 8, "rungs": (1,), "repeats": 2, "final_epochs": 1, "final_seeds": 2}
OPTIONS |= {"starts": ("iso_damage", "repaired_damage")}
BOTH = ("0.5", "0.2")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def task(runs: Path) -> Task:
    return build_task(
        "digits_cnn", train_images=400, baseline_epochs=4, cache=runs / ".cache", device="cpu"
    )


@pytest.fixture(scope="module")
def run(task: Task, runs: Path) -> results.Run:
    where = {"runs_dir": str(runs), "name": "two"}
    return search(task, budget=[0.5, 0.2], proxies=PROXIES, **where, **OPTIONS)


TABLES = ("trials", "pareto", "finals", "trust", "sensitivity", "trainings")


def test_the_folder_holds_what_the_design_lists(run: results.Run) -> None:
    about = json.loads((run.folder / "config.json").read_text())
    tables = {*TABLES, *(name for name in results.TABLES if len(run.table(name)))}
    assert {path.name for path in run.folder.iterdir()} == {
        *("config.json", "run.toml", "study.db", "scores.pt", "models", "log.txt", "finished"),
        *("report.html", "report.md", "report_figures"),
        *(f"{name}.{kind}" for name in tables for kind in ("csv", "parquet")),
    }
    log = (run.folder / "log.txt").read_text()
    for record in run.records:
        assert log.count(f"trial {record.number} rung ") == record.rung + 1
        assert f"; policy {record.policy.to_json()}\n" in log
        assert f"trial {record.number} {record.state} {record.reason}\n" in log
    assert about["config"]["policies"]["budget"] == ["0.5", "0.2"]
    assert about["versions"]["torch"] == torch.__version__
    assert run.provenance["reference"] == about["config"]["judging"]["criterion"]


def test_every_trial_meets_its_budget_and_the_table_has_one_row_each(run: results.Run) -> None:
    trials = pd.read_csv(run.folder / "trials.csv")
    limits = run.provenance["budgets"]
    assert list(trials["number"]) == list(range(8))
    assert set(trials["state"]) <= {"complete", "stopped"}
    assert (trials["flops"] <= limits["0.5"]).all()
    assert (trials["flops"] <= limits["0.2"]).any()
    assert list(run.trials.columns) == list(trials.columns)


def test_what_single_layers_bear_is_a_start_a_proxy_and_in_the_report(
    run: results.Run, task: Task
) -> None:
    space = spaces.discover(task.model, task.example)
    ranking = prune_ops.score(task.model, space, task.calibration(), ["obs"])
    found = prune_ops.measure(task.model, space, ranking["obs"], task.held_out(), ["iso_damage"])[
        "iso_damage"
    ]
    stored = torch.load(run.folder / "scores.pt", weights_only=True)["iso_damage"]
    assert all(torch.equal(stored[group.name], found[group.name]) for group in space.groups)
    measured = run.sensitivity.groupby("sensitivity")["damage"].apply(list)
    assert set(measured.index) == {"iso_damage", "repaired_damage"}
    assert measured["iso_damage"] == torch.cat(list(found.values())).tolist()
    widths = prune_ops.SENSITIVITIES["iso_damage"].policy
    starts = {r.policy for r in run.records if r.origin == "iso_damage"}
    assert widths(space, found, Budget.parse("0.5")) in starts
    by_proxy = {r.policy: r.proxies["iso_damage"] for r in run.records}
    for policy, score in by_proxy.items():
        judged = prune_ops.PrunedCandidate(policy, space, {}, task.model, (), (), damages=found)
        assert score == prune_ops.PROXIES["iso_damage"](judged)
    assert "Which layers bear cuts" in (run.folder / "report.md").read_text()


def test_finals_are_paired_by_seed_and_tested_once(run: results.Run) -> None:
    roles = [(final.role, final.budget) for final in run.finals]
    assert roles[0] == ("baseline", None)
    for budget in ("0.5", "0.2"):
        assert roles.count(("uniform", budget)) == 1
        assert 1 <= roles.count(("searched", budget)) <= 4
        best = [f for f in run.finals if f.budget == budget and f.best]
        front = [r for r in run.records if r.number == best[0].number]
        rivals = [
            r.val_accuracy
            for r in run.records
            if r.state == "complete"
            and run.provenance["budgets"][budget] >= r.flops > 0
            and (budget == "0.2" or r.flops > run.provenance["budgets"]["0.2"])
        ]
        assert len(best) == 1
        assert front[0].val_accuracy == max(rivals)
    assert {final.seeds for final in run.finals[1:]} == {(0, 1)}
    plain = len(run.provenance.budgets)  # uniform widths by l1, of the gain steps
    assert run.provenance.test_reads == 1 + 2 * (len({f.policy for f in run.finals[1:]}) + plain)


def test_the_best_model_is_saved_and_counts_what_the_search_counted(
    run: results.Run, task: Task
) -> None:
    best = next(final for final in run.finals if final.best)
    folder = run.folder / "models" / str(best.number)
    loaded = prune_ops.load(task.fresh(), folder)
    assert prune_ops.load_policy(folder) == best.policy
    assert fvcore_flops(loaded, task.example) == best.flops
    assert loaded(task.example[0]).shape == (1, 10)
    assert run.provenance["checks"][0].startswith(f"fvcore and torch count {best.flops:,} flops")


def test_what_is_to_be_shipped_is_loaded_by_the_lines_that_are_printed(
    run: results.Run, task: Task
) -> None:
    names = {folder.name for folder in (run.folder / "models").iterdir()}
    own = {str(final.number) for final in run.finals if final.role == "searched"}
    assert names - own == {"unpruned", *(f"{a}-{b}" for a in ("best", "uniform") for b in BOTH)}
    for decision in decisions(run):
        made: dict[str, Any] = {"build": task.fresh}
        exec("\n".join(loading(run, decision)), made)
        assert not made["model"].training
        assert fvcore_flops(made["model"], task.example) == decision.final.flops
        assert made["model"](task.example[0]).shape == (1, 10)
        assert decision.batches == [1, 64]
    unpruned = prune_ops.load(task.fresh(), run.folder / "models" / "unpruned").eval()
    torch.testing.assert_close(unpruned(task.example[0]), task.model(task.example[0]))


def test_a_finished_run_is_reported_again_but_not_run_again(
    run: results.Run, task: Task, runs: Path
) -> None:
    (run.folder / "finished").unlink()
    again = search(task, [0.5, 0.2], runs_dir=str(runs), name="two", resume=True, **OPTIONS)
    assert again.records == run.records
    assert again.finals == run.finals
    assert (run.folder / "report.html").is_file()
    with pytest.raises(UserError, match="holds a finished run"):
        search(task, [0.5, 0.2], runs_dir=str(runs), name="two", **OPTIONS)


def test_the_same_seed_gives_the_same_table(run: results.Run, task: Task, runs: Path) -> None:
    where = {"runs_dir": str(runs), "name": "again"}
    again = search(task, budget=[0.5, 0.2], proxies=PROXIES, **where, **OPTIONS)
    pd.testing.assert_frame_equal(untimed(again.trials), untimed(run.trials))
    assert again.finals == run.finals


def test_a_final_training_cut_short_goes_on_from_its_checkpoint(
    task: Task, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = OPTIONS | {
        "trials": 4,
        "final_epochs": 3,
        "final_seeds": 1,
        "starts": ["l1"],
        "lr": 0.005,
    }
    options |= {"runs_dir": str(runs)}
    whole = search(task, 0.5, name="not-cut", **options)
    save, restored = InFolder.save, Saver.restored
    went_on_from: list[int] = []

    def save_and_cut(self: InFolder, key: str, state: State) -> None:
        save(self, key, state)
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    def restored_and_told(self: Saver) -> tuple[int, int]:
        step, epoch = restored(self)
        went_on_from.append(epoch)
        return step, epoch

    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(InFolder, "save", save_and_cut)
        with pytest.raises(KeyboardInterrupt):
            search(task, 0.5, name="cut", **options)
    monkeypatch.setattr(Saver, "restored", restored_and_told)
    resumed = search(task, 0.5, name="cut", resume=True, **options)
    assert max(went_on_from) == 2
    assert resumed.finals == whole.finals
    assert not (resumed.folder / "checkpoints").exists()


def test_a_run_that_fails_the_same_way_three_times_stops_and_says_why(
    task: Task, runs: Path
) -> None:
    options = OPTIONS | {"lr": 1e12, "explore": 1.0, "name": "diverging"}
    with pytest.raises(
        SearchStopped, match=r"3 trials in a row failed at rung 1 \(brief training\): diverged"
    ):
        search(task, 0.5, runs_dir=str(runs), **options)
    left = pd.read_csv(runs / "diverging" / "trials.csv")
    assert list(left["state"]) == ["failed"] * 3


FEW = {"trials": 1, "starts": ("l1",), "rungs": (1,), "repeats": 0, "gains": False}


def test_finals_that_diverge_are_told_at_once_even_when_quiet(task: Task, runs: Path) -> None:
    where = {"name": "lost", "runs_dir": str(runs)}
    judged = {"proxies": ("predicted_damage",), "rank_by": "predicted_damage"}
    options = FEW | {"lr": 1e12, "final_epochs": 1, "final_seeds": 2}
    out = io.StringIO()
    progress = Progress(Console(file=out, width=200), quiet=True)
    run = execute(resolve_folder(where | judged | options), task, progress)
    told = out.getvalue().splitlines()
    assert told[-1].startswith("where a final training diverged")
    assert "--lr" in told[-1]
    lost = [line for line in told if "could not be trained with seed" in line]
    assert lost == [c for c in run.provenance.checks if c in lost]
    assert len(lost) == 2
    assert "diverged: the loss became nan in epoch 1 at learning rate 1e+12" in lost[0]


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        ([], []),
        (["diverged: the loss became nan"], ["0", "where"]),
        (["worker died"] * 5, ["0", "1", "2", "and 2 more"]),
        (["worker died"] * 3 + ["diverged: x"], ["0", "1", "2", "and 1 more", "where"]),
    ],
)
def test_three_failures_are_told_and_what_to_do(reasons: list[str], said: list[str]) -> None:
    """The first of them where one of two seeds diverged."""
    reported = [f"{i} could not be trained: {why}" for i, why in enumerate(reasons)]
    told = told_failures(reported, own_loop=False)
    for line, start in zip(told, said, strict=True):
        assert line.startswith(start)


def test_proxies_without_what_they_need_are_refused_before_any_trial(
    task: Task, runs: Path
) -> None:
    few = replace(task, train=task.train.subset(torch.arange(60)))
    with pytest.raises(UserError, match="proxy 'zico' needs calibration batches of 2"):
        search(few, proxies=["reconstructed", "zico"], runs_dir=str(runs), name="few", **OPTIONS)
    assert not (runs / "few" / "study.db").exists()


def test_a_run_that_another_process_works_on_is_refused(runs: Path) -> None:
    folder = resolve_folder({"name": "held", "runs_dir": str(runs)})
    refused = pytest.raises(UserError, match="another process works on that run")
    with folder.locked(), refused, folder.locked():
        pass


def test_names_are_made_and_numbered(tmp_path: Path) -> None:
    first = resolve_folder({"budget": [0.5, 0.3], "runs_dir": str(tmp_path)})
    with first.locked():
        second = resolve_folder({"budget": [0.5, 0.3], "runs_dir": str(tmp_path)})
    assert first.path.name == "digits_small-0.5-0.3"
    assert second.path.name == "digits_small-0.5-0.3-2"
    assert resolve_folder({"resume": True, "runs_dir": str(tmp_path)}).path == first.path
