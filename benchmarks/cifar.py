"""What the benchmarks on CIFAR-10 share: ResNet-20, its data, and figures with their spread."""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

import search
from search.data.splits import Split
from search.task.task import Task
from search.versions import commit


def options(description: str, out: str) -> argparse.ArgumentParser:
    """The options of every benchmark on CIFAR-10."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("cifar", help="folder with train/<class>/ and val/<class>/")
    parser.add_argument("weights", help="state_dict of the unpruned network")
    parser.add_argument("--out", default=f"benchmarks/results/{out}", help="where tables go")
    parser.add_argument("--runs", default="runs", help="what is kept between calls")
    parser.add_argument("--images", type=int, default=0, help="train on so many images; 0: all")
    parser.add_argument("--test-images", type=int, default=0, help="test on so many; 0: all")
    parser.add_argument("--workers", type=int, default=1, help="trainings at once")
    return parser


def task(
    args: argparse.Namespace, model: str = "resnet20", validation_fraction: float = 0.02
) -> Task:
    """The network with the given weights, on CUDA where there is one; all training images.

    The test split was never seen by the weights, nor is anything chosen by it in a benchmark.
    """
    whole = search.build_task(
        model,
        f"imagefolder:{args.cifar}",
        weights=args.weights,
        validation_fraction=validation_fraction,
        cache=Path(args.runs) / ".cache",
    )
    return replace(whole, test=_some(whole.test, args.test_images))


def to_train(whole: Task, args: argparse.Namespace) -> Task:
    """The same with as many training images as are asked for."""
    return replace(whole, train=_some(whole.train, args.images))


def _some(split: Split, images: int) -> Split:
    """A part of the images, the same for every network; drawn, as files lie class by class."""
    if not images:
        return split
    drawn = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    return split.indexable().subset(drawn[:images])


def settings(task: Task, network: str) -> str:
    """With what it was measured, in words."""
    return (
        f"{network} with the given weights, {len(task.train):,} training images, "
        f"{len(task.test):,} test images; {machine(task)}."
    )


def machine(task: Task) -> str:
    """On what it was measured, in words."""
    on_gpu = task.device.type == "cuda"
    device = torch.cuda.get_device_name(task.device) if on_gpu else platform.processor() or "CPU"
    return f"device {device}, torch {torch.__version__}, commit {commit()}"


def mean_and_spread(values: Sequence[float]) -> str:
    """Percent, mean ± standard deviation over seeds.

    >>> mean_and_spread([0.5, 0.52, 0.54])
    '52.00 ± 2.00'
    """
    shown = [100 * value for value in values]
    spread = f" ± {statistics.stdev(shown):.2f}" if len(shown) > 1 else ""
    return f"{statistics.mean(shown):.2f}{spread}"
