"""A metric whose direction is set wrongly: noticed by what loss and metric say of spoilt copies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search import ACCURACY, Metric, Task
from search.config import SearchConfig
from search.task.agreement import disagreement
from search.task.doubts import doubts

Batch = tuple[Tensor, Tensor]


def loss(outputs: Tensor, batch: Batch) -> Tensor:
    return F.mse_loss(outputs, batch[1])


def error(outputs: Tensor, batch: Batch) -> Tensor:
    return (outputs - batch[1]).abs().mean(1)


def right(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs.argmax(1) == labels).double()


def network(outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, outputs)).eval()


def parts(model: nn.Module, noise: float = 0.05, batches: int = 4) -> dict[str, list[Batch]]:
    """What the network gives, and some noise: it is as good as can be."""
    torch.manual_seed(1)
    inputs = torch.randn(batches, 32, 6)
    with torch.no_grad():
        split = [(x, model(x) + noise * torch.randn(32, 1)) for x in inputs]
    return {"train": split, "validation": split, "test": split}


@pytest.mark.parametrize("batches", [1, 4])
def test_a_metric_that_points_the_other_way_is_noticed(batches: int) -> None:
    model = network()
    task = Task(
        model=model, loss=loss, metric=Metric("error", error, True), **parts(model, batches=batches)
    )
    (said,) = disagreement(task)
    assert "but error, of which higher is said to be better, finds it worse" in said
    assert said in [*doubts(task, SearchConfig())]


@pytest.mark.parametrize("noise", [0.05, 100.0])  # the latter has learnt nothing
@pytest.mark.parametrize("seed", range(5))
def test_one_that_points_the_right_way_is_not(noise: float, seed: int) -> None:
    model = network()
    torch.manual_seed(seed)
    metric = Metric("error", error, higher_is_better=False)
    assert not [*disagreement(Task(model=model, loss=loss, metric=metric, **parts(model, noise)))]


def test_a_metric_that_knows_nothing_of_the_loss_does_not_disagree() -> None:
    model = network()
    metric = Metric("drawn", lambda outputs, _: torch.rand(len(outputs)), higher_is_better=True)
    assert not [*disagreement(Task(model=model, loss=loss, metric=metric, **parts(model)))]


@pytest.mark.parametrize(("metric", "doubted"), [(right, True), (None, False)])
def test_of_a_classifier_the_usual_accuracy_is_trusted(metric: Any, doubted: bool) -> None:
    model, images = network(3), torch.randn(2, 40, 6)
    with torch.no_grad():
        split = [(x, model(x).argmax(1)) for x in images]
    own = ACCURACY if metric is None else Metric("accuracy", metric, higher_is_better=False)
    task = Task(model=model, metric=own, train=split, validation=split, test=split)
    assert bool([*disagreement(task)]) is doubted
