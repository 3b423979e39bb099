"""The unpruned network: trained here when no weights are given, and cached."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from search import cache
from search.data.source import Progress, silent
from search.data.splits import Split
from search.errors import Diverged
from search.models import load_weights
from search.task.task import Task
from search.training.hardware import outputs_of, threads_suited_to
from search.training.loop import FROM_SCRATCH, SMALL_SET, Recipe, train
from search.training.modes import AUTO
from spaces import copied
from spaces.errors import DataError, ModelError, in_one_line
from spaces.fingerprint import graph_fingerprint
from spaces.inputs import moved, tensors
from spaces.state import state_of

log = logging.getLogger(__name__)
T = TypeVar("T")

EPOCHS, EPOCHS_OF_SMALL = 20.0, 40.0
"""Epochs of the baseline, and those on a small training set, whose epochs are few steps: a network
that is not trained to its end would gain from being pruned and trained on."""
LARGE = 100.0
"""Images that are normalised have no such values."""
RATES = (1.0, 0.1, 0.01)
"""Shares of the recipe's learning rate to try: networks without normalisation need the lower."""


def with_baseline(
    task: Task,
    name: str,
    folder: Path,
    epochs: float | None = None,
    *,
    sparsity: float = 0.0,
    precision: str = AUTO,
    replayed: bool = False,
    trains: bool = True,
    progress: Progress = silent,
) -> Task:
    """The task with a trained copy of its network, from a cache if it was trained before.

    The cached file has the ``state_dict`` and non-persistent buffers; its name is a hash of all
    that the result depends on. If it is damaged the log says so and the network is trained again.

    Args:
        task: its ``model`` has fresh weights that follow from its seed.
        name: of model and data.
        epochs: None for 20, or 40 on a small training set.
        folder: has a subfolder ``baselines`` for the cache.
        sparsity, precision: as `Recipe` has them.
        replayed: as `train` has it.
        trains: otherwise a network that is not in the cache stays as it is, of 0 ``base_epochs``.

    Raises:
        ModelError: a step of training fails, the loss diverges at every learning rate tried, or
            sparsity is asked for and no BatchNorm has a scale.
    """
    images = len(task.train)
    epochs = epochs or usual_epochs(images)
    recipe = replace(FROM_SCRATCH.suited_to(images), sparsity=sparsity, precision=precision)
    parts = (name, task.seed, epochs, recipe, task.device.type, torch.__version__)
    state = task.model.state_dict().items()
    shapes = [(key, tuple(value.shape)) for key, value in state if isinstance(value, Tensor)]
    made_from = (shapes, _fingerprint(task.train), _graph(task))
    path = folder / "baselines" / f"{cache.key(*parts, *made_from)}.pt"
    model = copied(task.model)
    if not _restore(model, path):
        if not trains:
            return replace(task, base_epochs=0.0)
        with threads_suited_to(task.example):
            model = _trained(task, recipe, epochs, replayed, progress)
        cache.save(path, state_of(model))
    return replace(task, model=model.to(task.device).eval(), base_epochs=epochs)


def usual_epochs(images: int) -> float:
    """Epochs of a baseline's training on so many images."""
    return EPOCHS_OF_SMALL if images < SMALL_SET else EPOCHS


def _trained(
    task: Task, recipe: Recipe, epochs: float, replayed: bool, progress: Progress
) -> nn.Module:
    reasons = []
    must = "the model must train, but a step of its training failed with"
    hint = "try a forward and a backward pass in train mode"
    for rate in RATES:
        model = copied(task.model)
        try:
            with in_one_line(ModelError, must, hint, let=(Diverged,)):
                train(
                    model,
                    task.train,
                    replace(recipe, lr=recipe.lr * rate),
                    epochs=epochs,
                    seed=task.seed,
                    device=task.device,
                    loss=task.loss,
                    replayed=replayed,
                    on_step=lambda step, steps: progress("training the baseline", step, steps),
                )
        except Diverged as error:
            reasons.append(str(error))
        else:
            for reason in reasons:
                log.warning("the baseline was trained at a lower rate: %s", reason)
            return model
    raise ModelError(
        f"the baseline must train, but at every rate tried {', '.join(reasons)}; {_advice(task)}"
    )


@torch.no_grad()
def _advice(task: Task) -> str:
    """What to do about a network that diverges at every rate."""
    model, largest = copied(task.model).train(), 0.0
    for inputs, _ in task.train.batches(256):
        numbers = [tensor for tensor in tensors(inputs) if tensor.is_floating_point()]
        if not all(tensor.isfinite().all() for tensor in numbers):
            return "mend the training images, some of which are NaN or infinite"
        largest = max([largest, *(float(tensor.abs().max()) for tensor in numbers)])
        if not all(tensor.isfinite().all() for tensor in tensors(outputs_of(model, inputs))):
            return (
                f"mend the model, whose outputs are not finite before it is trained{_size(largest)}"
            )
    return f"give trained weights{_size(largest)}"


def _size(largest: float) -> str:
    if largest <= LARGE:
        return ""
    return f", or normalise the images, whose values reach {largest:.3g}"


def seeded(fresh: Callable[[], T], seed: int) -> T:
    """What is made of random numbers of torch's that follow from the seed: fresh weights, say."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return fresh()


def _restore(model: nn.Module, path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        load_weights(model, path)
    except DataError as error:
        log.warning("the baseline in the cache cannot be used, training it again (%s)", error)
        return False
    return True


def _fingerprint(split: Split) -> tuple[object, ...]:
    """Identifies a training set by its length and first items."""
    inputs, targets = next(iter(split.batches(64)))
    means = (round(tensor.double().mean().item(), 6) for tensor in tensors(inputs))
    return len(split), *means, [tensor.tolist() for tensor in tensors(targets)]


def _graph(task: Task) -> str:
    """Identifies the model's code, its activations say; empty if it cannot be traced."""
    try:
        return graph_fingerprint(task.model, moved(task.example, torch.device("cpu")))
    except ModelError:
        return ""
