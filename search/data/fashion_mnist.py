"""Fashion-MNIST (Xiao et al. 2017) from its four idx files, wherever they are."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from search.data.source import Images, Request, Splits, own_size_only
from search.data.splits import Augment
from spaces.errors import DataError, brief

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts them."""
TORCHVISION = Path("FashionMNIST/raw")
"""Where torchvision puts them, below its root."""
NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
MEAN, STD = (0.2860,), (0.3530,)
"""Of the training images, pixels from 0 to 1."""


def load(request: Request) -> Splits:
    """Fashion-MNIST; fashion-mnist:PATH says where it is.

    ``fashion-mnist`` looks where Debian and torchvision put it; ``fashion-mnist:PATH`` in PATH.

    The files are ``train-images-idx3-ubyte`` and so on, with or without ``.gz``. Found nowhere,
    they are downloaded by torchvision into the cache folder.
    """
    own_size_only("fashion-mnist", 28, request)
    folder = _find(request)
    train, test = (_part(folder, part) for part in ("train", "t10k"))
    return Images(train, test, NAMES, Augment(padding=2, flip=True), MEAN, STD).splits(request)


def _part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    images = _read(folder, f"{part}-images-idx3-ubyte")
    return images[:, None], _read(folder, f"{part}-labels-idx1-ubyte").long()


def _find(request: Request) -> Path:
    given, cached = Path(request.argument), request.cache / TORCHVISION
    places = (given, given / TORCHVISION) if request.argument else (DEBIAN, cached)
    for folder in places:
        if _file(folder, "train-images-idx3-ubyte") is not None:
            return folder
    if not request.argument:
        return _download(request.cache)
    raise DataError(
        f"data 'fashion-mnist' must have train-images-idx3-ubyte(.gz) in {given}, but it "
        "is not there; check the path, or leave it out"
    )


def _file(folder: Path, name: str) -> Path | None:
    choices = (folder / name, folder / f"{name}.gz")
    return next((path for path in choices if path.is_file()), None)


def _download(root: Path) -> Path:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(root, download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"data 'fashion-mnist' must be in {DEBIAN} or {root} or be downloadable, but it is "
            f"not there and the download failed ({brief(error)}); install dataset-fashion-mnist, "
            "or name the folder of its idx files: fashion-mnist:PATH"
        ) from error
    return root / TORCHVISION


def _read(folder: Path, name: str) -> Tensor:
    """One idx file: two zeros, type 8 (uint8), rank, big-endian sizes, then the bytes."""
    path = _file(folder, name)
    if path is None:
        raise DataError(f"data 'fashion-mnist' must have {name}(.gz), but {folder} has not")
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} must be readable, but is not ({brief(error)})") from error
    rank = content[3] if content[:3] == b"\0\0\x08" else 0
    start = 4 + 4 * rank
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    if not rank or len(content) != start + math.prod(shape):
        raise DataError(f"{path} must be an idx file of bytes, but is not or is cut short")
    values = np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    return torch.from_numpy(values.copy())
