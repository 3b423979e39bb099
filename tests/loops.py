"""A user's own project in a file: a task of numbers, and training loops of its own, right and wrong
ones."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from search import Metric, Task
from search.training.loop import Recipe
from search.training.loop import train as ours

RATE = 0.02
FAILING = "LOOP_FAILS_AT"
"""The variable that says by its number in which call ``fails_late`` fails."""

Batch = list[Tensor]
_calls: list[int] = []


def loader(items: int, seed: int, shuffle: bool = False) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(items, 6, generator=generator)
    return DataLoader(
        TensorDataset(inputs, inputs[:, :1] * inputs[:, 1:2]), batch_size=32, shuffle=shuffle
    )


def squares(outputs: Tensor, batch: Batch) -> Tensor:
    return nn.functional.mse_loss(outputs, batch[1])


def error(outputs: Tensor, batch: Batch) -> Tensor:
    return (outputs - batch[1]).abs().flatten()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU()
    second = nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU()
    return nn.Sequential(*first, *second, nn.Linear(32, 1))


metric = Metric("mean absolute error", error, higher_is_better=False)


def plain() -> Task:
    """Without a loop of its own."""
    parts = {"train": loader(128, 0, shuffle=True), "validation": loader(64, 1)}
    return Task(model=network().eval(), test=loader(64, 2), loss=squares, metric=metric, **parts)


def task() -> Task:
    return replace(plain(), train_loop=train)


@cache
def _known() -> Task:
    return plain()


def train(model: nn.Module, epochs: int, seed: int) -> None:
    """What our own loop does at a rate of ``RATE``."""
    ours(
        model,
        _known().train,
        Recipe(lr=RATE, batch_size=32),
        epochs=epochs,
        seed=seed,
        device=torch.device("cpu"),
        loss=squares,
    )


def broken(model: nn.Module, epochs: int, seed: int) -> None:  # noqa: ARG001
    raise KeyError("lr")


def fails_late(model: nn.Module, epochs: int, seed: int) -> None:
    """As ``train``, but Ctrl-C is pressed in one of its calls, or the process killed."""
    _calls.append(seed)
    if len(_calls) == int(os.environ.get(FAILING, 0)):
        raise KeyboardInterrupt
    train(model, epochs, seed)


def counted(model: nn.Module, epochs: int, seed: int, checkpoint: Any) -> None:
    """SGD that goes on from its checkpoint; each epoch that is trained is a line in a file."""
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
    done = 0
    if (state := checkpoint.load()) is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["epochs"]
    for epoch in range(done, epochs):
        for inputs, wanted in loader(64, seed + epoch):
            optimizer.zero_grad()
            squares(model(inputs), [inputs, wanted]).backward()
            optimizer.step()
        parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        checkpoint.save({**parts, "epochs": epoch + 1})
        with open(Path(os.environ["EPOCHS_IN"]), "a") as file:
            file.write(f"{epoch}\n")
        if os.environ.get(FAILING) == str(epoch):
            raise KeyboardInterrupt


def splits() -> tuple[DataLoader[Any], ...]:
    task = plain()
    return tuple(part.loader for part in (task.train, task.validation, task.test))
