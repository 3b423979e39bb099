"""The unpruned network: trained here when no weights are given, and cached."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from search import cache
from search.data.source import Progress, Splits, silent
from search.data.splits import Split
from search.errors import Diverged
from search.models import load_weights
from search.training.hardware import threads_suited_to
from search.training.loop import FROM_SCRATCH, Recipe, train
from spaces import copied
from spaces.errors import DataError, ModelError, in_one_line
from spaces.fingerprint import graph_fingerprint
from spaces.state import state_of

log = logging.getLogger(__name__)

EPOCHS = 20.0
"""Epochs of the baseline: they give 99 % on the test images of digits."""
RATES = (1.0, 0.1, 0.01)
"""Shares of the recipe's learning rate to try: networks without normalisation need the lower."""


def baseline(
    model: nn.Module,
    splits: Splits,
    *,
    name: str,
    seed: int,
    device: torch.device,
    folder: Path,
    epochs: float = EPOCHS,
    sparsity: float = 0.0,
    progress: Progress = silent,
) -> nn.Module:
    """A trained copy in eval mode on ``device``, from ``folder`` if it was trained before.

    >>> trained = baseline(model, splits, name="digits_cnn digits", seed=0, device=device, folder=f)

    The file in ``folder`` has the ``state_dict`` and non-persistent buffers; its name is a hash of
    all that the result depends on. If it is damaged the log says so and the baseline is trained
    again.

    Args:
        model: has fresh weights that follow from ``seed``; it is not changed.
        sparsity: as ``Recipe.sparsity``.

    Raises:
        ModelError: a step of training fails, the loss diverges at every learning rate tried, or
            sparsity is asked for and no BatchNorm has a scale.
    """
    recipe = dataclasses.replace(FROM_SCRATCH.suited_to(len(splits.train)), sparsity=sparsity)
    parts = (name, seed, epochs, recipe, device.type, torch.__version__)
    made_from = (_shapes(model), _fingerprint(splits.train), _graph(model, splits))
    path = folder / f"{cache.key(*parts, *made_from)}.pt"
    trained = copied(model)
    if not _restore(trained, path):
        with threads_suited_to(splits.shape):
            trained = _trained(model, splits.train, recipe, seed, device, epochs, progress)
        cache.save(path, state_of(trained))
    return trained.to(device).eval()


def _trained(
    fresh: nn.Module,
    split: Split,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    epochs: float,
    progress: Progress,
) -> nn.Module:
    reasons = []
    must = "the model must train, but a step of its training failed with"
    hint = "try a forward and a backward pass in train mode"
    for rate in RATES:
        model = copied(fresh)
        slower = dataclasses.replace(recipe, lr=recipe.lr * rate)
        try:
            with in_one_line(ModelError, must, hint, let=(Diverged,)):
                train(
                    model,
                    split,
                    slower,
                    epochs=epochs,
                    seed=seed,
                    device=device,
                    on_step=lambda step, steps: progress("training the baseline", step, steps),
                )
        except Diverged as error:
            reasons.append(str(error))
        else:
            for reason in reasons:
                log.warning("the baseline was trained at a lower rate: %s", reason)
            return model
    raise ModelError(
        f"the baseline must train, but at every rate tried {', '.join(reasons)}; give trained "
        "weights"
    )


def seeded(fresh: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A network whose fresh weights follow from the seed."""
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


def _shapes(model: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    state = model.state_dict().items()
    return [(key, tuple(value.shape)) for key, value in state if isinstance(value, Tensor)]


def _fingerprint(split: Split) -> tuple[object, ...]:
    """Identifies a training set by its length and first images."""
    inputs, targets = next(iter(split.batches(64)))
    return len(split), round(inputs.double().mean().item(), 6), targets.tolist()


def _graph(model: nn.Module, splits: Splits) -> str:
    """Identifies the model's code, its activations say; empty if it cannot be traced."""
    images, _ = next(iter(splits.validation.batches(1)))
    try:
        return graph_fingerprint(model, images[:1].cpu())
    except ModelError:
        return ""
