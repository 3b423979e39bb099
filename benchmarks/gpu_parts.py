"""What ``scripts/gpu`` measures, a part a call: ``python benchmarks/gpu_parts.py trial``.

Times are those of this machine: what counts are ratios of what was measured by turns. The last
line begins with ``figures:``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from gpu import FIGURES, ROOT

import results
from results.intervals import half_width
from search import data, models
from search.data.splits import Augment, TensorSplit
from search.engines.workers import Processes
from search.evaluation.jobs import Failure
from search.training.loop import Recipe, evaluate, train


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        images, batch: of an epoch, and of a step.
        epochs: of a timed training; a third as many are timed too.
        repetitions: of each way, by turns.
        together, together_epochs: trainings at once, and how long each is.
        seeds: of the accuracies.
        trials, rung_epochs, final_epochs: of the search.
    """

    model: str = "resnet20"
    shape: tuple[int, int, int] = (3, 32, 32)
    images: int = 25_600
    batch: int = 128
    epochs: int = 3
    repetitions: int = 3
    together: int = 8
    together_epochs: int = 20
    seeds: int = 6
    accuracy_epochs: int = 15
    trials: int = 12
    rung_epochs: int = 8
    final_epochs: int = 12


SMALL = Size(
    model="digits_small",
    shape=(1, 8, 8),
    images=64,
    batch=32,
    repetitions=1,
    together=2,
    together_epochs=2,
    seeds=2,
    accuracy_epochs=1,
    trials=2,
    rung_epochs=1,
    final_epochs=1,
)


def noise(size: Size, device: torch.device) -> TensorSplit:
    """Random images, augmented as CIFAR's are: what they show takes no time."""
    generator = torch.Generator().manual_seed(0)
    shape = size.images, *size.shape
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (size.images,), generator=generator)
    channels = size.shape[0]
    return TensorSplit(
        pixels.to(device),
        labels.to(device),
        (0.5,) * channels,
        (0.25,) * channels,
        Augment(4, flip=True),
    )


def seconds_of(
    size: Size, split: TensorSplit, device: torch.device, epochs: int, replayed: bool
) -> tuple[float, str]:
    """Of a training, and why its steps were not replayed."""
    model = models.build(size.model, classes=10, in_channels=size.shape[0])
    recipe = Recipe(lr=0.01, batch_size=size.batch)
    _wait(device)
    began = time.perf_counter()
    why = train(model, split, recipe, epochs=epochs, seed=0, device=device, replayed=replayed)
    _wait(device)
    return time.perf_counter() - began, why


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def trial(size: Size, device: torch.device) -> dict[str, Any]:
    """One training, with its steps replayed and made anew, by turns.

    ``replayed`` and ``anew`` are images a second of a whole training; ``steady`` without what
    comes before the first replay, which is ``recording`` seconds long.
    """
    split, longer = noise(size, device), size.epochs
    shorter = max(1, longer // 3)
    for replayed in (False, True):
        seconds_of(size, split, device, shorter, replayed)  # kernels are chosen, memory taken
    runs: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    reasons = set()
    for _ in range(size.repetitions):
        for replayed, found in runs.items():
            short, _ = seconds_of(size, split, device, shorter, replayed)
            long, why = seconds_of(size, split, device, longer, replayed)
            found.append((short, long))
            reasons.add(why)
    per_epoch = size.images // size.batch * size.batch
    figures: dict[str, Any] = {}
    step = {}
    for name, replayed in (("anew", False), ("replayed", True)):
        long = statistics.median(long for _, long in runs[replayed])
        steady = statistics.median(long - short for short, long in runs[replayed])
        figures[f"{name} images/s"] = per_epoch * longer / long
        figures[f"{name} epochs/s"] = longer / long
        figures[f"{name} steady images/s"] = per_epoch * (longer - shorter) / steady
        step[replayed] = steady / ((longer - shorter) * (size.images // size.batch))
    ratios = [a[1] / r[1] for a, r in zip(runs[False], runs[True], strict=True)]
    figures["replayed to anew"] = statistics.median(ratios)
    figures["replayed to anew, least and most"] = f"{min(ratios):.2f} to {max(ratios):.2f}"
    steps = longer * (size.images // size.batch)
    recording = statistics.median(long for _, long in runs[True]) - steps * step[True]
    figures["seconds before the first replay"] = recording
    if (gain := step[False] - step[True]) > 0:
        figures["steps that pay for them"] = recording / gain
    figures["not replayed"] = "; ".join(filter(None, reasons)) or "none"
    return figures


@dataclass(frozen=True)
class Trained:
    """A training in a worker: when it began and ended, its GPU memory in bytes, and why its steps
    were not replayed, or how it failed."""

    began: float = 0.0
    ended: float = 0.0
    memory: int = 0
    why: str = ""


@dataclass(frozen=True)
class Trainings:
    """Trains in a worker; a job is a number of epochs."""

    size: Size
    device: str

    def __call__(self, epochs: int) -> Trained:
        device = torch.device(self.device)
        split = noise(self.size, device)
        _wait(device)
        began = time.monotonic()
        _, why = seconds_of(self.size, split, device, epochs, replayed=True)
        ended = time.monotonic()
        memory = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else 0
        return Trained(began, ended, memory, why)


def _died(_job: int, failure: Failure, _seconds: float) -> Trained:
    return Trained(why=failure.reason)


def rate(size: Size, device: torch.device, workers: int) -> tuple[float, int]:
    """Images a second of so many trainings at once, each in a worker as ``--workers`` has them,
    and the bytes that one of them takes at most."""
    with Processes(workers, Trainings(size, str(device)), _died) as pool:
        for epochs in (1, size.together_epochs):  # the first is start, kernels and memory
            for _ in range(workers):
                pool.begin(epochs)
            done = [pool.finished()[1] for _ in range(workers)]
            for each in done:
                if each.why:
                    raise SystemExit(f"of {workers} trainings at once one went wrong: {each.why}")
    took = max(each.ended for each in done) - min(each.began for each in done)
    per_epoch = size.images // size.batch * size.batch
    return workers * size.together_epochs * per_epoch / took, max(each.memory for each in done)


def together(size: Size, device: torch.device) -> dict[str, Any]:
    """Several trainings at once against one, each a process of its own."""
    one, _ = rate(size, device, 1)
    many, memory = rate(size, device, size.together)
    return {
        "one images/s": one,
        f"{size.together} at once images/s": many,
        f"{size.together} at once to one": many / one,
        "GPU memory of one of them, GB": memory / 1e9,
    }


def accuracy(size: Size, device: torch.device) -> dict[str, Any]:
    """Test accuracies on digits with steps replayed and made anew, paired by seed."""
    splits = data.load("digits", device=device)
    part = splits.train if size.seeds > SMALL.seeds else splits.train.subset(torch.arange(64))
    recipe = Recipe(lr=0.05, batch_size=32)
    reached: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(size.seeds):
        for replayed, values in reached.items():
            torch.manual_seed(seed)
            model = models.build("digits_cnn", splits.classes, splits.shape[0])
            how = {"epochs": size.accuracy_epochs, "seed": seed, "device": device}
            train(model, part, recipe, **how, replayed=replayed)
            values.append(evaluate(model, splits.test))
    differences = [r - a for r, a in zip(reached[True], reached[False], strict=True)]
    within = half_width(differences)
    return {
        "anew": statistics.mean(reached[False]),
        "replayed": statistics.mean(reached[True]),
        "difference in points": 100 * statistics.mean(differences),
        "95 % interval, ±": "none" if within is None else f"{100 * within:.2f}",
        "seeds": size.seeds,
    }


def search(size: Size, device: torch.device) -> dict[str, Any]:
    """A whole search on digits, four trials at a time: with Ray a quarter of a GPU each."""
    command = [sys.executable, "search.py", "--trials", str(size.trials), "--device", device.type]
    command += ["--name", "gpu", "--rungs", str(size.rung_epochs), "--repeats", "0", "--no-gains"]
    command += ["--final-seeds", "2", "--final-epochs", str(size.final_epochs)]
    if size == SMALL:
        command += ["--train-images", "128", "--sampler", "random", "--starts", "l1"]
    has_ray = find_spec("ray") is not None
    if has_ray and device.type == "cuda":
        how = ["--engine", "ray", "--gpus-per-trial", "0.25"]
    else:
        how = ["--workers", "4" if size.trials > 2 else "1"]
        print("Ray is not used:", "this is the CPU" if has_ray else "it is not installed")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run([*command, *how, "--runs-dir", folder], cwd=ROOT, check=False)
        seconds = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"the search ended with exit code {done.returncode}")
        where = Path(folder) / "gpu"
        states = Counter(record.state for record in results.load(where).records)
        told = (where / "log.txt").read_text().count("launched one by one")
        report = (where / "report.html").is_file()
    return {
        "engine": " ".join(how),
        "seconds": seconds,
        **{f"trials {state}": count for state, count in states.items()},
        "warnings that steps are not replayed": told,
        "report": "written" if report else "missing",
    }


PARTS = {"trial": trial, "together": together, "accuracy": accuracy, "search": search}


def main() -> None:
    """Measure a part and print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    size = SMALL if options.small else Size()
    print(options.part, dataclasses.asdict(size), flush=True)
    figures = PARTS[options.part](size, torch.device(options.device))
    for name, value in figures.items():
        print(f"{name:34} {value}")
    print(FIGURES + json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
