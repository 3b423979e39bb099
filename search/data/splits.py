"""Splits: the images of one part of the data, handed out in batches on the model's device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from prune_ops.batches import described
from spaces.errors import DataError

TAKES = (
    "a search takes one image tensor in and one logit a class out, unless it is given a loss and a "
    "metric: --loss and --metric, or --task; search.Task in Python"
)
"""Whoever has another network or other data is told what to give."""

Batch = tuple[Any, Any]
"""Inputs and targets on the device: images (B, C, H, W) float32, normalised, and labels (B,) int64.
In a task with a loss of its own, inputs of any form, and the whole batch in the place of labels."""


class Batches(Protocol):
    """An iterable of batches that knows how many there are in a pass."""

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...


class Split(Protocol):
    """One part of the data: train, validation or test."""

    def __len__(self) -> int:
        """How many images it has."""

    def batches(
        self, batch_size: int, *, augment: bool = False, seed: int = 0, epoch: int = 0
    ) -> Iterator[Batch]:
        """One pass over the images.

        With ``augment`` it is a pass for training: shuffled, augmented as suits the data, the
        ragged last batch left out; the same for the same ``seed`` and ``epoch``. Without, every
        image as it is, in order.
        """

    def steps(self, batch_size: int) -> int:
        """How many batches a pass with ``augment`` gives; none is larger than the split."""
        return len(self) // min(batch_size, len(self))

    def subset(self, indices: Tensor) -> Split:
        """The images at ``indices`` (int64, on the CPU), in that order."""

    def indexable(self) -> Split:
        """Itself, or as many of its images as it can hold where it can only be run through."""
        return self

    def to(self, device: torch.device) -> Split:
        """The same images with their batches on ``device``."""


@dataclass(frozen=True)
class Augment:
    """What training images may undergo without changing their class.

    Each image is moved by up to ``padding`` pixels in both directions, black moving in (the usual
    random crop of the padded image), and mirrored with probability ½ if ``flip``.
    """

    padding: int = 0
    flip: bool = False


@dataclass(frozen=True, eq=False)
class TensorSplit(Split):
    """Small images as one tensor on the device; nothing here waits on the host.

    Args:
        images: (N, C, H, W), uint8 that are divided by 255 and normalised, or float32 that are
            handed out as they are.
        labels: (N,) int64.
        mean, std: of each channel, in units of images from 0 to 1.
    """

    images: Tensor
    labels: Tensor
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    augmentation: Augment = Augment()

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, batch_size: int, *, augment: bool = False, seed: int = 0, epoch: int = 0
    ) -> Iterator[Batch]:
        normal = normaliser(self.mean, self.std, self.images.device)
        if not augment:
            for images, labels in zip(
                self.images.split(batch_size), self.labels.split(batch_size), strict=True
            ):
                yield normal(images), labels
            return
        generator = seeded(seed, epoch, self.images.device)
        order = torch.randperm(len(self), generator=generator, device=generator.device)
        size = min(batch_size, len(self))
        for index in order[: self.steps(size) * size].split(size):
            images = move_and_flip(self.images[index], self.augmentation, generator)
            yield normal(images), self.labels[index]

    def subset(self, indices: Tensor) -> TensorSplit:
        at = indices.to(self.images.device)
        return TensorSplit(self.images[at], self.labels[at], self.mean, self.std, self.augmentation)

    def to(self, device: torch.device) -> TensorSplit:
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def images_and_labels(batch: Any) -> Batch:
    """The batch, if it is a tensor of images and one of labels.

    Raises:
        DataError: it is something else, inputs by name say.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        images, labels = batch
        if isinstance(images, Tensor) and isinstance(labels, Tensor):
            return images, labels
    raise DataError(
        "data must come in batches (images, labels) of one tensor each, but a batch is "
        f"{described(batch)}; {TAKES}"
    )


def normaliser(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> Callable[[Tensor], Tensor]:
    """A function of images: uint8 → float32 (x / 255 - mean) / std; floats stay as they are."""
    # x * scale + shift, in one pass; made once a pass, since making them waits on the device
    shifts = [-m / s for m, s in zip(mean, std, strict=True)]
    scale = torch.tensor([1 / (255 * s) for s in std], device=device).view(1, -1, 1, 1)
    shift = torch.tensor(shifts, device=device).view(1, -1, 1, 1)

    def normal(images: Tensor) -> Tensor:
        if images.dtype != torch.uint8:
            return images
        return torch.addcmul(shift, images.to(torch.float32), scale)

    return normal


def seeded(seed: int, epoch: int, device: torch.device) -> torch.Generator:
    """A generator of its own for one pass, so that the caller's random state is left alone."""
    return torch.Generator(device=device).manual_seed(mix(seed, epoch))


def mix(seed: int, number: int) -> int:
    """One seed from two: far apart for neighbours of either, and always one that torch takes."""
    return (seed * 1_000_003 + number) % 2**63


def move_and_flip(images: Tensor, how: Augment, generator: torch.Generator) -> Tensor:
    """A random crop of the padded images and a random mirror, drawn for each image alone.

    (B, C, H, W) → the same shape: one gather for the whole batch, whatever each image draws.
    """
    if how == Augment():
        return images
    count, channels, height, width = images.shape
    device = images.device
    reach = 2 * how.padding + 1
    down, right = torch.randint(reach, (2, count, 1), generator=generator, device=device)
    rows = torch.arange(height, device=device) + down
    columns = torch.arange(width, device=device).expand(count, width)
    if how.flip:
        mirror = torch.randint(2, (count, 1), generator=generator, device=device)
        columns = torch.where(mirror == 1, width - 1 - columns, columns)
    columns = columns + right
    padded = F.pad(images, [how.padding] * 4)
    image = torch.arange(count, device=device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=device).view(1, -1, 1, 1)
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
