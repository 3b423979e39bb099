"""The gain steps: which there are, how each is pruned and trained, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from evaluators import toy
from trainings import Killed, Measured, Remembering, Store

import prune_ops
import results
import spaces
from results.record import Candidate
from results.training import FINALS, GAINS, TrainingSpec
from search.cli import main
from search.config import SearchConfig
from search.engines.local import Local
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, TrainingJob, TrainingResult
from search.plans.finals import Finalist, Finals
from search.plans.gains import GainSteps, expected
from search.task.building import build_task
from search.training.trainer import NO_WEIGHTS
from spaces import Budget, Space
from spaces.state import state_of

HALF = Budget.parse("0.5")


def plan(evaluator: Evaluator, found: float = 0.4, **named: Any) -> GainSteps:
    """Of a best policy and uniform widths at budget 0.5."""
    space, criterion = evaluator.space, named.get("criterion", evaluator.config.reference)
    best = Candidate(space.uniform(found), criterion)
    uniform = Candidate(space.uniform(HALF), criterion)
    contenders = [
        Finalist("trial 7", best, HALF, 7, best=True),
        Finalist("uniform@0.5", uniform, HALF),
    ]
    return GainSteps(Finals(contenders, evaluator))


def told(evaluator: Evaluator, **named: Any) -> tuple[list[str], int]:
    """The names of the steps, and how many networks are trained for them alone."""
    made = plan(evaluator, **named)
    seeds = len(evaluator.specs.final_seeds)
    return [step.name for step in made._steps], len(made.jobs) // seeds


def test_steps_that_do_not_apply_are_left_out(space: Space) -> None:
    def of(**options: Any) -> tuple[list[str], int]:
        return told(toy(space, final_seeds=2, **options))

    repaired = ["plain uniform", "repaired uniform", "searched widths"]
    assert of() == of(criterion="l1") == (repaired, 1)
    assert of(distill=True) == ([*repaired, "distilled"], 3)
    by_obs = ["plain uniform", "uniform by obs", "searched widths"]
    assert of(surgery="plain") == (by_obs, 1)
    plain = ["plain uniform", "searched widths"]
    for criterion in ("l1", "weight_sum"):
        assert of(surgery="plain", criterion=criterion) == (plain, 0)
    assert of(surgery="plain", criterion="l1", distill=True) == ([*plain, "distilled"], 2)
    assert of(train="scratch-b") == (["uniform widths", "searched widths"], 0)
    assert of(gains=False) == ([], 0)


def test_the_forecast_counts_what_comes_on_top(space: Space) -> None:
    def forecast(**options: Any) -> int:
        evaluator = toy(space, final_seeds=3, **options)
        return len(expected(evaluator, [Budget.parse(b) for b in evaluator.config.policies.budget]))

    assert forecast() == 3
    assert forecast(budget=["0.5", "0.3"]) == 6
    assert forecast(distill=True) == 9
    assert forecast(surgery="plain", criterion="l1") == 0
    assert forecast(train="scratch-e") == forecast(gains=False) == 0


def test_each_step_changes_one_thing_more(space: Space) -> None:
    evaluator = toy(space, final_seeds=1, distill=True, schedule="layerwise")
    made = plan(evaluator)
    plain, repaired, searched, distilled = made._steps
    full = evaluator.specs.final(space.uniform(0.4))
    assert full.layer_epochs
    assert distilled.spec == full
    assert searched.spec == repaired.spec == replace(full, distill=0.0, temperature=0.0)
    assert plain.spec == replace(repaired.spec, surgery="plain")
    assert plain.candidate == Candidate(repaired.candidate.policy, "l1")
    assert repaired.candidate.criterion == "obs"
    assert searched.candidate == distilled.candidate
    assert [job.spec.distill for job in made.jobs] == [0.0, 0.0, 0.0]


def test_with_a_plain_cut_a_spec_says_nothing_of_it(space: Space) -> None:
    plain, *_ = plan(toy(space, surgery="plain"))._steps
    assert plain.spec.surgery == ""


def test_a_final_under_another_name_is_not_trained_again(space: Space) -> None:
    options = {"surgery": "plain", "criterion": "search", "criteria": ["l1", "obs"]}
    evaluator = toy(space, final_seeds=2, **options)
    uniform, best = space.uniform(HALF), Candidate(space.uniform(0.4), "obs")
    contenders = [
        Finalist("trial 7", best, HALF, 7, best=True),
        Finalist("trial 0", Candidate(uniform, "l1"), HALF, 0),
        Finalist("uniform@0.5", Candidate(uniform, "obs"), HALF),
    ]
    made = GainSteps(Finals(contenders, evaluator))
    assert [step.name for step in made._steps] == [
        *("plain uniform", "uniform by obs", "searched widths")
    ]
    assert made.jobs == []


def test_rows_are_of_what_is_known_and_what_failed_is_told(space: Space) -> None:
    evaluator = toy(space, final_seeds=2, seed=5)
    made, store = plan(evaluator), Store()

    def fails(job: TrainingJob) -> Failure | None:
        return Failure("diverged", "luck") if job.spec.surgery and job.seed == 5 else None

    engine = Measured(fails=fails)
    for _ in store.trainer(evaluator, engine).train(FINALS, made._finals.jobs, NO_WEIGHTS):
        pass
    before = len(engine.asked)
    rows = store.carry_out(made, evaluator, engine)
    assert engine.asked[before:] == made.jobs
    assert [(row.step, row.name, row.seeds) for row in rows] == [
        ("plain uniform", "uniform@0.5", (6,)),
        ("repaired uniform", "uniform@0.5", (5, 6)),
        ("searched widths", "trial 7", (5, 6)),
    ]
    assert [(row.criterion, row.surgery) for row in rows] == [
        ("l1", "plain"),
        ("obs", "reconstruct"),
        ("obs", "reconstruct"),
    ]
    known = store.trainer(evaluator, engine).known
    assert list(made.failures(known)) == [
        "plain uniform at 0.5 could not be trained with seed 5: luck"
    ]
    assert {r.purpose for r in store.trainings if r.spec.surgery} == {GAINS}


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    cache = Path(tmp_path_factory.mktemp("cache"))
    task = build_task("digits_cnn", train_images=128, baseline_epochs=2, cache=cache, device="cpu")
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, task.calibration(), ["l2"])
    options = {"criterion": "l2", "final_epochs": 1, "final_seeds": 2}
    return Evaluator(
        task=task,
        space=space,
        scores={"l2": prune_ops.normalised(scores["l2"])},
        config=SearchConfig.of(**options),
    )


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    mine, other = state_of(first), state_of(second)
    return all(torch.equal(mine[name], other[name]) for name in mine)


def test_the_plain_step_is_what_a_plain_run_by_l1_trains(evaluator: Evaluator) -> None:
    made = plan(evaluator)
    job = made.jobs[0]
    offered = replace(evaluator, sources=made.sources)
    plain = replace(
        evaluator,
        config=evaluator.config.having(surgery="plain", criterion="l1"),
        scores={"l1": made.sources["l1"].scores},
    )
    spec = replace(job.spec, surgery="")
    trained = offered.trained(job.candidate, job.spec, job.seed)
    assert same(trained, plain.trained(job.candidate, spec, job.seed))
    assert not same(trained, offered.trained(job.candidate, spec, job.seed))


def test_a_surgery_of_its_own_goes_through_all_stages_and_has_its_checkpoints(
    evaluator: Evaluator,
) -> None:
    plain = replace(evaluator, config=evaluator.config.having(surgery="plain"))
    candidate = Candidate(evaluator.space.uniform(HALF), "l2")
    spec = TrainingSpec(0.01, 1, layer_epochs=1)
    own = replace(spec, surgery="plain")
    trained = evaluator.trained(candidate, own, 3)
    assert same(trained, plain.trained(candidate, spec, 3))
    keys = [e._checkpoint(candidate, s, 3).key for e, s in ((evaluator, spec), (evaluator, own))]
    assert keys[0] != keys[1]


def test_cut_short_it_goes_on_with_what_was_kept(evaluator: Evaluator) -> None:
    made, whole = plan(evaluator), Store()

    def trained(store: Store, engine: Local) -> list[object]:
        offered = replace(evaluator, sources=made.sources)
        store.carry_out(made._finals, offered, engine)
        return list(store.carry_out(made, offered, engine))

    complete = trained(whole, Local())
    store, engine = Store(), Remembering()
    with pytest.raises(Killed):
        trained(store, Remembering(cut=5))
    assert trained(store, engine) == complete
    assert engine.asked == made.jobs[:1]


OPTIONS = [
    *("--trials", "2", "--rungs", "1", "--final-epochs", "1", "--final-seeds", "2"),
    *("--repeats", "0", "--train-images", "128", "--starts", "bn_scale", "--name", "gains"),
    *("--lr", "0.005"),
]


def test_on_the_command_line_and_after_an_interruption_nothing_is_trained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs: list[TrainingJob] = []
    train_final = Evaluator.train_final

    def train_and_tell(self: Evaluator, job: TrainingJob) -> TrainingResult:
        jobs.append(job)
        return train_final(self, job)

    def train_one(self: Evaluator, job: TrainingJob) -> TrainingResult:
        if any(done.spec.surgery for done in jobs):
            raise KeyboardInterrupt
        return train_and_tell(self, job)

    monkeypatch.setattr(Evaluator, "train_final", train_one)
    assert main([*OPTIONS, "--runs-dir", str(tmp_path)]) == 130
    begun = results.load(tmp_path / "gains").gains
    assert begun["step"].tolist() == ["plain uniform", "repaired uniform", "searched widths"]
    assert begun["seeds"].tolist() == [1, 2, 2]
    capsys.readouterr()
    monkeypatch.setattr(Evaluator, "train_final", train_and_tell)
    assert main(["--resume", "--runs-dir", str(tmp_path)]) == 0
    assert len(jobs) == len(set(jobs))
    assert [job.seed for job in jobs if job.spec.surgery] == [0, 1]
    said = capsys.readouterr().out
    assert "where the gain comes from" in said
    run = results.load(tmp_path / "gains")
    assert run.gains["seeds"].tolist() == [2, 2, 2]
    assert run.gains["criterion"].tolist()[:2] == ["l1", "obs"]
    assert len(pd.read_csv(run.folder / "gains.csv")) == 3
    uniform = next(final for final in run.finals if final.role == "uniform")
    assert run.gain_steps[1].test_accuracy == uniform.test_accuracy
    assert run.provenance.test_reads == 1 + len(run.training_records)
    assert "Where the gain comes from" in (run.folder / "report.html").read_text()


def test_it_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*OPTIONS, "--no-gains", "--final-seeds", "1", "--runs-dir", str(tmp_path)]
    assert main(options) == 0
    run = results.load(tmp_path / "gains")
    assert run.gain_steps == ()
    assert {record.purpose for record in run.training_records} == {"finals"}
    assert "where the gain" not in capsys.readouterr().out
    assert "Where the gain" not in (run.folder / "report.md").read_text()
    assert "--no-gains" in (run.folder / "report.md").read_text()
