"""A task from names: data and weights are loaded, or the baseline is trained."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from search import data as sources
from search import models
from search.config import TaskConfig
from search.data.source import Progress, Splits, silent
from search.task.baseline import seeded, with_baseline
from search.task.fit import check_fit
from search.task.task import Task
from search.training.hardware import pick_device
from search.training.modes import AUTO
from spaces.errors import ModelError, in_one_line

log = logging.getLogger(__name__)

CACHE = Path("runs/.cache")


def build_task(
    model: str = TaskConfig.model,
    data: str = TaskConfig.data,
    *,
    weights: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    validation_fraction: float | None = None,
    train_images: int | None = None,
    image_size: int | None = None,
    classes: int | None = None,
    baseline_epochs: float | None = None,
    sparsity: float = 0.0,
    precision: str = AUTO,
    cache: Path = CACHE,
    progress: Progress = silent,
) -> Task:
    """Build the task of these names: load data and weights, or train the baseline.

    >>> build_task("resnet20", "imagefolder:cifar", weights="resnet20.pt", device="cpu").classes
    10

    Args:
        model: a name of ``search.models``.
        data: a name of ``search.data``.
        weights: file of a ``state_dict``, see `search.models.load_weights`, or the folder of a
            network that was pruned before, see `prune_ops.save`; without one the baseline is
            trained and cached.
        seed: of the validation cut, the subset, the fresh weights and the baseline's training.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
        validation_fraction: of the training images; None for the data's own (a tenth, mostly).
        train_images: train on a seeded subset of so many images; None for all.
        image_size: side in pixels, where the data leaves a choice.
        classes: how many there are, if the data does not show all of them.
        baseline_epochs: as `with_baseline` has it.
        sparsity: L1 penalty on the scales of BatchNorm while the baseline is trained.
        precision: in which it is trained, "auto" (bfloat16 on CUDA), "float32" or "bfloat16".
        cache: folder for downloads, decoded images and baselines.
        progress: called during what takes time.

    Raises:
        DataError: data or weights are missing, damaged or do not fit the model.
        ModelError: the baseline does not train.
        UserError: an unknown name or device.
    """
    task = loaded(
        model,
        data,
        weights,
        device,
        say=log.warning,
        seed=seed,
        validation_fraction=validation_fraction,
        train_images=train_images,
        image_size=image_size,
        classes=classes,
        cache=cache,
        progress=progress,
    )
    if weights is not None:
        return task
    return with_baseline(
        task,
        f"{model} {data}",
        cache,
        baseline_epochs,
        sparsity=sparsity,
        precision=precision,
        progress=progress,
    )


def loaded(
    model: str,
    data: str,
    weights: str | Path | None,
    device: str,
    *,
    say: Callable[[str], None],
    seed: int,
    **asked: Any,
) -> Task:
    """The task as it is before the baseline is trained: with fresh weights, unless some are given.

    Args:
        say: called with a line for what should be known of the weights.
        asked: further fields of `search.data.Request`.
    """
    models.check(model)
    sources.check(data)
    if weights is not None:
        models.check_weights(weights)
    on = pick_device(device)
    splits = sources.load(data, seed=seed, device=on, **asked)
    fresh = partial(models.build, model, splits.classes, splits.shape[0])
    network = seeded(fresh, seed)
    must = f"model {model!r} must be of tensors that can be moved to {on}, but that fails with"
    with in_one_line(ModelError, must, "build it with weights, on a real device"):
        network = network.to(on).eval()
    images = _distinct_images(splits)
    for image in images:
        check_fit(network, (image,), splits.classes, model, f"data {data!r}")
    if weights is not None:
        network, lines = models.given_weights(network, weights)
        for line in lines:
            say(line)
    return Task(
        name=_slug(f"{model}-{data}"),
        model=network,
        fresh=fresh,
        example=(images[0],),
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        classes=splits.classes,
        device=on,
        seed=seed,
        class_names=splits.names,
    )


def _distinct_images(splits: Splits) -> list[Tensor]:
    """The first image of validation, and of train and test where those have other shapes."""
    by_shape: dict[tuple[int, ...], Tensor] = {}
    for split in (splits.validation, splits.train, splits.test):
        image = next(iter(split.batches(1)))[0][:1]
        by_shape.setdefault(tuple(image.shape), image)
    return list(by_shape.values())


def _slug(text: str) -> str:
    """A name for a folder, ``resnet20-imagefolder-cifar``; of a path, its last part."""
    text = re.sub(r":.*/(?=[^/])", ":", text.rstrip("/"))
    return re.sub(r"[^\w.]+", "-", text).strip("-")
