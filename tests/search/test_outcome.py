"""Work that was done to its end and of which nothing came out: an exit code and a line of its own.

Divergence is that of the loop itself, at a rate that the final trainings alone are given.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import results
from results.decision import decisions
from search.cli import main
from search.errors import NOTHING
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, TrainingResult
from search.outcome import check_compared

LOW = ["--lr", "0.01", "--rungs", "1", "--final-epochs", "1", "--final-seeds", "1"]
SMALL = ["--budget", "0.5", "--trials", "4", "--train-images", "128", "--repeats", "0"]
CALM = ["--no-gains", "--sampler", "random", "--starts", "l1"]


@pytest.fixture
def diverging(monkeypatch: pytest.MonkeyPatch) -> None:
    train = Evaluator.train_final

    def hot(evaluator: Evaluator, job: TrainingJob) -> TrainingResult:
        return train(evaluator, replace(job, spec=replace(job.spec, lr=1e12)))

    monkeypatch.setattr(Evaluator, "train_final", hot)


@pytest.mark.usefixtures("diverging")
def test_a_run_that_leaves_nothing_says_so_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--runs-dir", str(tmp_path), "--name", "hot"]
    assert main([*where, *LOW, *SMALL, *CALM]) == NOTHING
    shown = capsys.readouterr()
    last = shown.err.splitlines()[-1]
    assert last.startswith(
        f"nothing to ship: no searched network of {tmp_path / 'hot'} was trained"
    )
    assert ": diverged: the loss became " in last
    assert last.endswith("; begin another run with a lower --lr")
    assert f"report: {tmp_path / 'hot' / 'report.html'}" in shown.out
    assert not [*decisions(results.load(tmp_path / "hot"))]
    arms = ["--arms", "scratch-e", "--seeds", "1", "--base-epochs", "1", "--front", "1"]
    assert main(["compare", str(tmp_path / "hot"), *arms]) == NOTHING
    first, *_, last = [
        line for line in capsys.readouterr().err.splitlines() if "loading" not in line
    ]
    assert first.startswith("warning: there will be no verdict on inherited weights and searched ")
    assert last.startswith("nothing was compared: 2 trainings failed: diverged: the loss became ")
    compared = results.load(tmp_path / "hot")
    one = replace(compared.compared.arms[0], test_accuracy=0.5)
    check_compared(replace(compared, compared=replace(compared.compared, arms=(one,))))
