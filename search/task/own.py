"""The user's own task by name: one function that returns it, or its parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from search import callables, models
from search import data as sources
from search.data.source import Splits
from search.task.baseline import seeded
from search.task.task import Task
from search.training.hardware import pick_device
from search.training.objective import Metric
from spaces.errors import DataError, UserError

RGB = 3
"""Channels of images, where the data does not say."""


def named_task(spec: str, device: str, seed: int) -> Task:
    """The task that a function returns, the same each time if it draws from torch's generator.

    Raises:
        UserError: the function fails, or returns something else.
    """
    task = seeded(partial(callables.call, spec), seed)
    if not isinstance(task, Task):
        raise UserError(
            f"{spec!r} must return a search.Task, but it returned {type(task).__name__}"
        )
    return task if device == "auto" else task.to(pick_device(device))


def assembled(
    model: str,
    data: str,
    weights: str | Path | None,
    device: str,
    *,
    loss: str | None,
    metric: str | None,
    say: Callable[[str], None],
    seed: int,
    classes: int | None = None,
    **asked: Any,
) -> Task:
    """The task of a loss or a metric of the user's, with fresh weights unless some are given.

    Args:
        data: a name of ``search.data``, or a function that returns three loaders of any batches.
        loss: a function of ``(outputs, batch)``; None for cross-entropy.
        metric: a ``search.Metric``, or a function that returns one; None for accuracy.
        say: called with a line for what should be known of the weights.
        asked: further fields of `search.data.Request`.

    Raises:
        UserError: something cannot be found, or is of another kind.
    """
    judged = named_metric(metric) if metric is not None else None
    trained = callables.resolve(loss) if loss is not None else None
    on = pick_device(device)
    splits = _splits(data, trained is None, seed=seed, device=on, classes=classes, **asked)
    fresh = partial(_fresh, model, splits.classes, splits.shape[0])
    network = seeded(fresh, seed).to(on).eval()
    if weights is not None:
        network, lines = models.given_weights(network, weights)
        for line in lines:
            say(line)
    return Task(
        name=f"{model}-{data}".replace(":", "-"),
        model=network,
        fresh=fresh,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        classes=splits.classes or None,
        device=on,
        loss=trained,  # type: ignore[arg-type]
        metric=judged,  # type: ignore[arg-type]
        seed=seed,
    )


def named_metric(spec: str) -> Metric:
    """The metric of that name.

    Raises:
        UserError: there is none, or it is of another kind.
    """
    found = callables.attribute(spec)
    if isinstance(found, Metric):
        return found
    needed = _needed(found)
    returned = callables.call(spec) if callable(found) and not needed else found
    if isinstance(returned, Metric):
        return returned
    came = f"is {type(found).__name__}"
    if needed:
        came = f"takes {', '.join(needed)}"
    elif callable(found):
        came = f"returned {type(returned).__name__}"
    name = spec.partition(":")[2]
    raise UserError(
        f"{spec!r} must be a search.Metric, or a function without arguments that returns one, but "
        f'it {came}; write metric = search.Metric("name", '
        f"{name if needed else 'measure'}, higher_is_better=True), or False, and name that"
    )


def _needed(found: Any) -> list[str]:
    """The arguments that a function cannot be called without."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # no function, or a builtin without a signature
        return []
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in several]


def _splits(data: str, of_images: bool, **asked: Any) -> Splits:
    """The parts of the data: images and labels, or three loaders of any batches that the user's
    function returns; their classes are 0 where nobody says how many there are."""
    if of_images or ":" not in data or data.partition(":")[0] in sources.SOURCES:
        return sources.load(data, **asked)
    parts = callables.call(data, seed=asked["seed"], image_size=asked["image_size"])
    if isinstance(parts, Splits):
        return parts
    if not isinstance(parts, (tuple, list)) or len(parts) != 3:
        raise DataError(
            f"{data!r} must return (train, validation, test), but it returned "
            f"{type(parts).__name__}"
        )
    if asked["train_images"] is not None:
        raise DataError(
            f"train images can be limited for data sets only, but {data!r} returns loaders; leave "
            "--train-images out"
        )
    train, validation, test = parts
    return Splits(train, validation, test, asked["classes"] or 0, (RGB,))


def _fresh(model: str, classes: int, channels: int) -> nn.Module:
    if not classes and ":" not in model:
        raise UserError(
            f"model {model!r} must know how many outputs it has, but the data does not say; "
            "give --classes"
        )
    return models.build(model, classes, channels)
