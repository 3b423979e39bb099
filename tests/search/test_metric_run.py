"""Whole searches that are judged by something else than accuracy."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pandas as pd
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import results
from results.metric import ACCURACY, MetricInfo
from search import Metric, Task
from search.folder import resolve_folder
from search.loggers import facts
from search.progress import Progress
from search.provenance import metric_info
from search.run import execute
from search.task.building import build_task
from search.training import loop, objective
from search.training.loop import evaluate

KILOGRAMS = MetricInfo("mean absolute error", "kg", higher_is_better=False)


def error(outputs: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
    return (outputs - batch[1]).abs().flatten()


def squares(outputs: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.mse_loss(outputs, batch[1])


def loader(items: int, seed: int) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(items, 6, generator=generator)
    return DataLoader(TensorDataset(inputs, inputs[:, :1] * inputs[:, 1:2]), batch_size=32)


def regressor() -> Task:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
    model.append(nn.Linear(32, 1))
    return Task(
        model=model.eval(),
        name="weights of parcels",
        train=loader(128, 0),
        validation=loader(64, 1),
        test=loader(64, 2),
        loss=squares,
        metric=Metric(KILOGRAMS.name, error, higher_is_better=False, unit="kg"),
    )


class Notes(Progress):
    """Keeps what stands beside the bar."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def advance(self, name: str, steps: int = 1, note: str = "") -> None:
        super().advance(name, steps, note)
        self.notes.append(note)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[results.Run, list[str]]:
    """A small run, and what stood beside its bar."""
    options = {"rungs": (1,), "repeats": 0, "final_epochs": 1, "final_seeds": 2, "lr": 0.01}
    options |= {"budget": 0.5, "trials": 3, "starts": ("l1",)}
    runs = tmp_path_factory.mktemp("runs")
    folder = resolve_folder({**options, "runs_dir": str(runs), "name": "parcels"})
    progress = Notes()
    return execute(folder, regressor(), progress), progress.notes


def test_the_run_says_what_it_was_judged_by(searched: tuple[results.Run, list[str]]) -> None:
    run, notes = searched
    assert run.metric == KILOGRAMS
    lowest = min(-score for record in run.records for score in record.accuracy)
    assert f"best {lowest:.4f} kg" in notes
    assert all(score < 0 for record in run.records for score in record.accuracy)
    page = (run.folder / "report.html").read_text()
    log = (run.folder / "log.txt").read_text()
    console = Console(file=io.StringIO(), width=80)
    console.print(results.terminal_decision(run), results.terminal_table(run))
    terminal = console.file.getvalue()  # type: ignore[attr-defined]
    for text in (page, log, terminal):
        assert "mean absolute error" in text
        assert "accurac" not in text
        assert "% of the" not in text.replace("% of the unpruned", "").replace("% of the group", "")
    assert re.search(r"finals, 1 epochs with seed 0: mean absolute error 0\.\d+ kg in", log)


def test_its_tables_and_loggers_have_the_error_itself(
    searched: tuple[results.Run, list[str]],
) -> None:
    run, _ = searched
    finals = pd.read_csv(run.folder / "finals.csv")
    scores = [score for final in run.finals for score in final.test_accuracy]
    assert finals["test_mean_absolute_error"].tolist() == pytest.approx([-s for s in scores])
    figures = facts.of_run(run)
    assert figures["ship/test_mean_absolute_error"] > 0
    assert "front/hypervolume" not in figures
    trial = next(record for record in run.records if record.rung)
    told = facts.of_trial(trial, run.metric)
    assert told["val_mean_absolute_error"] == -trial.val_accuracy
    assert "val_accuracy" not in told


def test_the_lower_error_goes_before_the_higher_one(
    searched: tuple[results.Run, list[str]],
) -> None:
    """The front and the best final are of the lowest errors."""
    run, _ = searched
    front = run.front
    assert front["val_mean_absolute_error"].is_monotonic_decreasing  # by rising flops
    lowest = run.trials["val_mean_absolute_error"].min()
    assert front["val_mean_absolute_error"].min() == lowest


def test_a_classifier_may_be_judged_by_another_metric() -> None:
    """It is also what counts on the test split; classes are still counted."""
    task = build_task("digits_small", "digits", train_images=64)
    confidence = Metric(
        "confidence", lambda out, _: out.softmax(1).amax(1), unit="%", higher_is_better=True
    )
    other = replace(task, metric=confidence)
    score, counts = loop.on_test_split(task.model, other.test, other.metric, other.classifies)
    assert score == evaluate(task.model, task.test, metric=confidence)
    assert (counts.accuracy, counts) == loop.on_test_split(
        task.model, task.test, task.metric, task.classifies
    )
    assert score != counts.accuracy


def test_only_our_accuracy_has_intervals_over_images() -> None:
    """One of the user's may count pixels."""
    assert metric_info(objective.ACCURACY) == ACCURACY
    pixels = Metric(
        "accuracy",
        lambda out, batch: (out.argmax(1) == batch[1]).float(),
        unit="%",
        higher_is_better=True,
    )
    assert not metric_info(pixels).counts_images
    assert metric_info(pixels).result("test", 0.5) == "accuracy 50.00 % on the test split"
