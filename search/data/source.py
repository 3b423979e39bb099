"""What every data source takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from search.data.splits import Augment, Split, TensorSplit
from spaces.errors import DataError

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``: told now and then by whatever takes time."""

CPU = torch.device("cpu")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def silent(what: str, done: int, total: int) -> None:
    """The ``Progress`` that tells nobody."""


@dataclass(frozen=True)
class Request:
    """What is asked of a source.

    Args:
        argument: what follows the colon, a folder say; empty without one.
        seed: of the validation cut and of the subset.
        device: where the batches come out.
        validation_fraction: of the training images; None for the source's own choice.
        train_images: train on a seeded subset of so many; None for all.
        image_size: side in pixels; None for the source's own.
        classes: how many there are, at least those of the data; None for those.
        workers: processes that read images which do not fit in one tensor.
        cache: folder for downloads and decoded images.
    """

    argument: str = ""
    seed: int = 0
    device: torch.device = CPU
    validation_fraction: float | None = None
    train_images: int | None = None
    image_size: int | None = None
    classes: int | None = None
    workers: int = 0
    cache: Path = Path("runs/.cache")
    progress: Progress = silent

    def cut(self, images: int, usual: float = 0.1) -> tuple[Tensor, Tensor]:
        """Indices of (training, validation): a seeded cut of so many training images.

        A limit on training images leaves validation what it is without; ``usual`` is its share.

        Raises:
            DataError: a fraction outside (0, 1), no image asked for, or none left to train on.
        """
        share = usual if self.validation_fraction is None else self.validation_fraction
        if not 0 < share < 1:
            raise DataError(f"validation fraction must be between 0 and 1, but got {share:g}")
        if self.train_images is not None and self.train_images < 1:
            raise DataError(f"train images must be at least 1, but got {self.train_images}")
        order = torch.randperm(images, generator=torch.Generator().manual_seed(self.seed))
        held_back = max(1, round(images * share))
        train, validation = order[held_back:][: self.train_images], order[:held_back]
        if not len(train):
            raise DataError(
                f"training needs images, but of {images} in the data {len(validation)} are for "
                "validation; give more images or a smaller validation fraction"
            )
        return train, validation


@dataclass(frozen=True, eq=False)
class Splits:
    """The three parts of a data set. ``test`` is for finished networks only.

    Args:
        classes: how many outputs a model needs.
        shape: of one input: (channels, height, width).
        names: of the classes, by number; empty where they are not known.
    """

    train: Split
    validation: Split
    test: Split
    classes: int
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Images:
    """Training and test images as uint8 tensors (N, C, H, W) with labels (N,), not yet cut.

    Args:
        names: of the classes, by number.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    names: tuple[str, ...]
    augmentation: Augment
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def splits(self, request: Request, usual: float = 0.1) -> Splits:
        """Cut the validation part from training and put all three on the device."""
        whole, test = (
            TensorSplit(*part, self.mean, self.std, self.augmentation)
            for part in (self.train, self.test)
        )
        parts = (*(whole.subset(indices) for indices in request.cut(len(whole), usual)), test)
        fit, validation, held = (part.to(request.device) for part in parts)
        shape = tuple(whole.images.shape[1:])
        return Splits(fit, validation, held, len(self.names), shape, self.names)


def own_size_only(name: str, size: int, request: Request) -> None:
    """Refuse an image size that a source of ready-made images cannot give."""
    if request.image_size not in (None, size):
        raise DataError(
            f"images of {name} are {size} pixels wide, but image size {request.image_size} was "
            "asked for; leave it out"
        )
