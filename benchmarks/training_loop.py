"""What the training loop costs beyond a bare PyTorch loop over the same tensors.

    python benchmarks/training_loop.py --model digits_cnn --data digits

All train the same network with the same optimiser and batch size, by turns, so that whatever else
the machine does meets all. ``loop`` is ``search.training.loop.train`` on uint8 images with
shuffling, normalisation, augmentation and the check for divergence; ``plain`` is the same without
augmentation; ``bare`` slices float images that were normalised beforehand and does forward,
backward, step.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search import data, models
from search.data import Augment, TensorSplit
from search.task.building import CACHE
from search.training.hardware import pick_device, prefer_channels_last
from search.training.loop import Recipe, train

RECIPE = Recipe(lr=0.01)


def main() -> None:
    """Print seconds and ratios, medians over the repetitions."""
    options = _options()
    device = pick_device(options.device)
    torch.set_num_threads(options.threads)
    splits = data.load(options.data, device=device, cache=options.cache)
    recipe = dataclasses.replace(RECIPE, batch_size=options.batch_size)
    images = options.steps * options.batch_size
    split = splits.train.subset(torch.arange(images) % len(splits.train))
    assert isinstance(split, TensorSplit)
    plain = dataclasses.replace(split, augmentation=Augment())
    tensors = next(iter(split.batches(images)))

    def looped(split: TensorSplit) -> Callable[[nn.Module], None]:
        return lambda model: train(model, split, recipe, epochs=1, seed=0, device=device)

    ways = {
        "bare": lambda model: bare(model, *tensors, recipe),
        "plain": looped(plain),
        "loop": looped(split),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(options.repetitions + 1):
        for name, way in ways.items():
            model = models.build(options.model, splits.classes, splits.shape[0]).to(device)
            taken = _time(way, model, device)
            if repetition:  # the first warms up
                seconds[name].append(taken)
    _report(seconds, options, device)


def bare(model: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe) -> None:
    """The least that training for one epoch takes."""
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, 0, recipe.weight_decay, recipe.nesterov
    )
    model.train()
    if images.is_cuda:
        prefer_channels_last(model, images[:1])
    kind = images.device.type
    size = recipe.batch_size
    for x, y in zip(images.split(size), labels.split(size), strict=True):
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
            loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _time(way: Callable[[nn.Module], None], model: nn.Module, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    way(model)
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _report(
    seconds: dict[str, list[float]], options: argparse.Namespace, device: torch.device
) -> None:
    machine = f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}"
    print(f"{options.model} on {options.data}, {options.steps} steps of {options.batch_size}")
    print(f"{device}, {machine}, n = {options.repetitions}")
    for name, times in seconds.items():
        ratios = [mine / theirs for mine, theirs in zip(times, seconds["bare"], strict=True)]
        print(
            f"{name:6} {statistics.median(times):8.3f} s  ratio to bare "
            f"{statistics.median(ratios):.3f}  (from {min(ratios):.3f} to {max(ratios):.3f})"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="digits_cnn")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=CACHE)
    return parser.parse_args()


if __name__ == "__main__":
    main()
