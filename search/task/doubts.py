"""Data and networks of which no verdict means anything: refused before anything is trained, or
warned of on the terminal and at the top of the report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from results.intervals import at_chance
from results.text import number, some
from search.config import SEARCH, JudgeConfig, SearchConfig
from search.data.splits import Split, TensorSplit
from search.task.agreement import disagreement
from search.task.task import Task
from search.training.hardware import logits_of, threads_suited_to
from search.training.modes import MODES
from spaces.errors import DataError, ModelError
from spaces.inputs import items, part, tensors

LEAST_A_CLASS = 2
"""Training images: one half of them scores channels, the other one judges."""
LEAST = 10
"""Images to validate and to test: of fewer each is more than ten points of accuracy."""
FEW = 100
"""Of fewer each is more than one point."""
SAMPLE = 256
"""Images of a part that are compared with other parts, where they are read one by one ..."""
SAMPLE_BYTES = 2**28
"""... and the bytes of them, where they are in memory."""
COPIES = 0.05
"""Share of copies from which they are no accident of the data."""
MOST_NAMED = 5
"""Classes that are named one by one."""


def check_amounts(task: Task) -> None:
    """Check that there are images enough to train, to validate and to test.

    Raises:
        DataError: a part has too few.
    """
    least = {"train": LEAST_A_CLASS * (task.classes or 1), "validate": LEAST, "test": LEAST}
    parts = task.train, task.validation, task.test
    for (aim, needed), split in zip(least.items(), parts, strict=True):
        if len(split) < needed:
            why = f", {LEAST_A_CLASS} a class," if aim == "train" and task.classes else ""
            raise DataError(
                f"at least {needed} images{why} are needed to {aim}, but there are {len(split)}; "
                "give more images, or leave out what limits them"
            )


def doubts(task: Task, config: SearchConfig) -> Iterator[str]:
    """What lets a reader doubt the verdict, in one sentence each; the network is trained already.

    Raises:
        ModelError: the network's outputs are NaN.
    """
    yield from _of_options(config)
    yield from _of_more_than_there_is(config, len(task.train))
    yield from _of_copies(task)
    if task.classifies and task.classes is not None:
        yield from _of_classifier(task, task.classes)
    yield from disagreement(task)
    yield from _of_few(task)


def _of_classifier(task: Task, classes: int) -> Iterator[str]:
    """Classes without an image, and a network that has learnt nothing."""
    with threads_suited_to(task.example):
        right, counts = _judged(task, classes)
    yield from _of_classes(task, classes, counts)
    images = int(counts.sum())
    if at_chance(right / images, counts.tolist()):
        often = int(counts.max()) / images
        yield (
            f"the unpruned network is right for {number(right / images, 1)} % of the validation "
            f"images, and whoever always names the most frequent class for {number(often, 1)} %: "
            "it has learnt nothing that pruning could lose; give trained weights, or other data"
        )


def _of_options(config: SearchConfig) -> Iterator[str]:
    epochs, rung = config.training.final_epochs, config.judging.rungs[-1]
    if epochs < rung:
        yield (
            f"--final-epochs {epochs} is less than the {rung} of the last rung: the final networks "
            "are trained for a shorter time than those that were compared; raise it, or lower "
            "--rungs"
        )
    criterion = config.judging.criterion
    if MODES[config.training.train].scratch and criterion not in (JudgeConfig.criterion, SEARCH):
        yield (
            f"--criterion {criterion} chooses no weights with --train {config.training.train}: "
            "they are fresh; it serves proxies and starts alone"
        )


def _of_more_than_there_is(config: SearchConfig, images: int) -> Iterator[str]:
    """Numbers that were given and cannot be reached."""
    asked, batch, policies = config.task.train_images, config.training.batch_size, config.policies
    if asked is not None and asked > images:
        yield f"--train-images {asked} is more than the {images} that there are, which are all used"
    if batch is not None and batch > images:
        yield (
            f"--batch-size {batch} is more than the {images} training images: an epoch is one step"
        )
    repeats = config.judging.repeats
    if repeats > policies.trials and repeats != JudgeConfig.repeats:
        yield (
            f"--repeats {repeats} is more than the --trials {policies.trials}, and none is trained "
            "again more than once"
        )


def _of_copies(task: Task) -> Iterator[str]:
    """Images of one part that another part has too, as far as they are looked at."""
    train, validation, test = (
        _digests(split) for split in (task.train.indexable(), task.validation, task.test)
    )
    pairs = (
        ("validation", validation, "training", train),
        ("test", test, "training", train),
        ("test", test, "validation", validation),
    )
    for name, mine, other, theirs in pairs:
        copies = sum(digest in set(theirs) for digest in mine)
        if copies > COPIES * len(mine):
            yield (
                f"{copies} of {len(mine)} {name} images that were looked at are {other} images "
                f"too: {name} accuracies say little of new images; keep the parts apart"
            )


def _digests(split: Split) -> list[bytes]:
    """Of the first images, as they are without augmentation."""
    found: list[bytes] = []
    for inputs, _ in split.batches(SAMPLE):
        size = sum(tensor.nbytes for tensor in tensors(inputs)) // items(inputs)
        most = SAMPLE_BYTES // size if isinstance(split, TensorSplit) else SAMPLE
        found += [_digest(part(inputs, i, i + 1)) for i in range(min(items(inputs), most))]
        if len(found) >= most:
            break
    return found


def _digest(inputs: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors(inputs):
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.digest()


@torch.inference_mode()
def _judged(task: Task, classes: int) -> tuple[int, Tensor]:
    """How many validation images are classified correctly, and the number of them by class."""
    right: Tensor | int = 0
    broken: Tensor | int = 0
    counts = torch.zeros(classes, dtype=torch.long, device=task.device)
    for images, labels in task.validation.batches(256):
        logits = logits_of(task.model, images)
        right = right + (logits.argmax(dim=1) == labels).sum()
        broken = broken + logits.isnan().any(dim=1).sum()
        counts += torch.bincount(labels, minlength=classes)
    if broken:
        raise ModelError(
            f"the unpruned network must give numbers, but for {int(broken)} of {int(counts.sum())} "
            "validation images it gives NaN; check its forward pass and its weights"
        )
    return int(right), counts.cpu()


def _of_classes(task: Task, classes: int, validated: Tensor) -> Iterator[str]:
    """Classes without an image, in the parts whose labels are known."""
    counts = {"training": _counts(task.train, classes), "validation": validated}
    counts["test"] = _counts(task.test, classes)
    for name, found in counts.items():
        if found is None or not (missing := (found == 0).nonzero().flatten().tolist()):
            continue
        one = len(missing) == 1
        which = f"{'class' if one else 'classes'} {some([*map(str, missing)], MOST_NAMED)}"
        yield (
            f"{which} {'has' if one else 'have'} no {name} image: accuracies do not say what "
            "pruning loses there"
        )


def _counts(split: Split, classes: int) -> Tensor | None:
    if not isinstance(split, TensorSplit):
        return None
    return torch.bincount(split.labels.cpu(), minlength=classes)


def _of_few(task: Task) -> Iterator[str]:
    for name, split in (("validation", task.validation), ("test", task.test)):
        if len(split) < FEW:
            yield (
                f"there are only {len(split)} {name} images: each is {number(1 / len(split), 1)} "
                "points of accuracy, and smaller differences mean nothing"
                if task.counts_classes
                else f"there are only {len(split)} {name} items: {task.metric.name} is of few"
            )
