"""CIFAR-10 (Krizhevsky 2009) through torchvision, downloaded when it is not there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from search.data.source import Images, Request, Splits, own_size_only
from search.data.splits import Augment
from spaces.errors import DataError, brief

NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def load(request: Request) -> Splits:
    """CIFAR-10; cifar10:PATH says where it is, or is to be put.

    ``cifar10`` keeps its copy in the cache folder; ``cifar10:PATH`` in PATH.

    PATH holds ``cifar-10-batches-py``, as torchvision and the archive have it.
    """
    own_size_only("cifar10", 32, request)
    root = Path(request.argument) if request.argument else request.cache / "cifar10"
    augmentation = Augment(padding=4, flip=True)
    return Images(_read(root, True), _read(root, False), NAMES, augmentation).splits(request)


def _read(root: Path, train: bool) -> tuple[Tensor, Tensor]:
    data = _open(root, train)
    return torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets)


def _open(root: Path, train: bool) -> Any:
    from torchvision.datasets import CIFAR10

    with suppress(RuntimeError):  # torchvision's word for "not found or corrupted"
        return CIFAR10(root, train=train)
    try:
        return CIFAR10(root, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"data 'cifar10' must be in {root} or be downloadable, but it is not there and the "
            f"download failed ({brief(error)}); put the folder cifar-10-batches-py there, or name "
            "its parent: cifar10:PATH"
        ) from error
