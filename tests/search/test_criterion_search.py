"""``--criterion search``: the whole job on digits, and what each trial's criterion decides."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from untimed import untimed

import prune_ops
import results
import spaces
from results import TrialRecord
from results.record import Candidate
from search import search
from search.cli import main
from search.config import SearchConfig
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import RungResult, TrainingJob
from search.evaluation.scoring import selection_scores
from search.plans.finals import finalists
from search.task.building import build_task
from search.task.task import Task
from spaces import Budget

CRITERIA = ("l1", "obs")
OPTIONS = {
    "trials": 7,
    "rungs": (1,),
    "final_epochs": 1,
    "final_seeds": 1,
    "lr": 0.005,
    "repeats": 1,
    "criterion": "search",
    "criteria": CRITERIA,
    "starts": ("l1",),
}
HALF = Budget.parse("0.5")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def task(runs: Path) -> Task:
    return build_task(
        "digits_cnn", train_images=256, baseline_epochs=4, cache=runs / ".cache", device="cpu"
    )


@pytest.fixture(scope="module")
def evaluator(task: Task) -> Evaluator:
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, task.calibration(), list(CRITERIA))
    config = SearchConfig.of(**OPTIONS)
    return Evaluator(task=task, space=space, scores=selection_scores(scores, config), config=config)


@pytest.fixture(scope="module")
def run(task: Task, runs: Path) -> results.Run:
    return search(task, 0.5, runs_dir=str(runs), name="whole", **OPTIONS)


def test_every_trial_has_a_criterion_and_uniform_widths_have_each(run: results.Run) -> None:
    assert set(run.trials["criterion"]) == set(CRITERIA)
    starts = run.trials[["origin", "criterion"]].values.tolist()[:3]
    assert starts == [["uniform", "l1"], ["uniform", "obs"], ["l1", "l1"]]
    one, other = run.records[:2]
    assert (one.policy, one.seed) == (other.policy, other.seed)
    assert one.proxies != other.proxies
    assert len({r.candidate for r in run.records}) == 7
    assert list(run.front["criterion"]) == [
        run.records[number].criterion for number in run.front["number"]
    ]


def test_finals_inherit_by_the_criterion_of_their_trial(
    run: results.Run, evaluator: Evaluator
) -> None:
    found = [final for final in run.finals if final.number is not None]
    assert found
    for final in found:
        assert final.candidate == run.records[final.number or 0].candidate
        candidate = Candidate(final.policy, final.criterion)
        job = TrainingJob(candidate, evaluator.specs.final(final.policy), final.seeds[0])
        assert evaluator.train_final(job).test_accuracy == final.test_accuracy[0]
    folder = run.folder / "models" / str(found[0].number)
    assert (
        json.loads((folder / "policy.json").read_text())["info"]["criterion"] == found[0].criterion
    )


def test_the_report_says_which_criterion_did_best(run: results.Run) -> None:
    text = (run.folder / "report.md").read_text()
    section = text.split("## Which criterion")[1].split("\n## ")[0]
    assert all(f"| {criterion} |" in section for criterion in CRITERIA)


def test_a_run_cut_short_goes_on_as_if_nothing_had_happened(
    run: results.Run, task: Task, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, asked = Evaluator.evaluate_rung, []

    def cut(self: Evaluator, candidate: Candidate, rung: int, seed: int) -> RungResult:
        asked.append(candidate)
        if len(asked) == 8:
            raise KeyboardInterrupt
        return evaluate(self, candidate, rung, seed)

    with monkeypatch.context() as patched:
        patched.setattr(Evaluator, "evaluate_rung", cut)
        with pytest.raises(KeyboardInterrupt):
            search(task, 0.5, runs_dir=str(runs), name="cut", **OPTIONS)
    assert len(results.load(runs / "cut").records) < 7
    resumed = search(task, runs_dir=str(runs), name="cut", resume=True, budget=0.5, **OPTIONS)
    pd.testing.assert_frame_equal(untimed(resumed.trials), untimed(run.trials))
    assert resumed.finals == run.finals


def test_on_the_command_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--runs-dir", str(runs), "--name", "cli", "--train-images", "200"]
    where += ["--model", "digits_cnn", "--lr", "0.005"]
    brief = ["--trials", "6", "--rungs", "1", "--final-epochs", "1", "--final-seeds", "1"]
    assert main([*where, *brief, "--criterion", "search", "--criteria", "l2", "l1"]) == 0
    trials = pd.read_csv(runs / "cli" / "trials.csv")
    assert trials["criterion"].tolist()[:2] == ["l2", "l1"]
    scored = torch.load(runs / "cli" / "scores.pt", weights_only=True)
    assert scored.keys() == {"l2", "l1", "taylor_2019", "repaired_damage"}
    printed = capsys.readouterr()
    assert "trial" in printed.out
    crowded = (
        "6 trials are too few: 7 policies are to be tried first (--starts), so 1 of these is left "
        "out and --sampler surrogate proposes none; give more --trials or fewer --criteria or "
        "--starts"
    )
    assert crowded in printed.err.splitlines()
    checks = results.load(runs / "cli").provenance["checks"]
    assert crowded in checks  # the report says what the terminal said
    assert main(["--criteria", "l1", "l2"]) == 2
    assert capsys.readouterr().err.startswith("error: --criteria are those of --criterion search")


def test_the_criterion_says_which_channels_stay_and_one_judges_all(evaluator: Evaluator) -> None:
    policy = evaluator.space.uniform(0.5)
    damage = {}
    for criterion in CRITERIA:
        kept = prune_ops.select(evaluator.space, policy, evaluator.scores[criterion])
        assert torch.equal(
            evaluator.pruned(Candidate(policy, criterion)).conv1.weight,  # type: ignore[union-attr]
            evaluator.task.model.conv1.weight[kept["conv1"]],  # type: ignore[index, union-attr]
        )
        scores = evaluator.scores["obs"]
        damage[criterion] = -sum(
            float(scores[name].double().sum() - scores[name][stay].double().sum())
            for name, stay in kept.items()
        )
        judged = evaluator.evaluate_rung(Candidate(policy, criterion), 0, seed=1)
        said = judged.proxies["predicted_damage"]
        assert said == pytest.approx(damage[criterion], rel=1e-5)
    assert damage["l1"] < damage["obs"]
    assert (
        evaluator.evaluate_rung(Candidate(policy), 0, 1).proxies["predicted_damage"] == said
    )  # the reference is usual


def test_uniform_widths_are_trained_to_the_end_under_their_best_criterion(
    evaluator: Evaluator,
) -> None:
    def tried(number: int, criterion: str, accuracy: float) -> TrialRecord:
        policy, flops = (
            evaluator.space.uniform(HALF),
            evaluator.space.flops(evaluator.space.uniform(HALF)),
        )
        about = {"criterion": criterion, "accuracy": (accuracy,), "state": "complete"}
        return TrialRecord(number, policy, "uniform", flops, 0.5, 1, **about)  # type: ignore[arg-type]

    trials = [tried(0, "obs", 0.8), tried(1, "l1", 0.9)]
    assert [f.candidate for f in finalists(trials, evaluator, [HALF])] == [trials[1].candidate] * 2
    assert [f.candidate.criterion for f in finalists([], evaluator, [HALF])] == ["obs"]
