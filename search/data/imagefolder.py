"""A folder of images: ``train/<class>/*`` and ``val/<class>/*``, the layout of ImageFolder.

``val/`` is the test split; validation is cut from ``train/`` by seed. Small images of one size
are decoded once into a tensor and kept in the cache; others are read by workers as needed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from search import cache
from search.data.files import Listing, classes_in, decode, listing, read_rgb, size_of
from search.data.loaders import LoaderSplit
from search.data.source import IMAGENET_MEAN, IMAGENET_STD, Images, Request, Splits
from search.data.splits import Augment
from spaces.errors import DataError

SMALL = 96
"""Pixels. Up to this side images are kept in a tensor, if all have one size ..."""
MOST_BYTES = 4 * 2**30
"""... and need no more memory than this."""
LOOKED_AT = 64
"""How many images' sizes are read before deciding which way to go."""
USUAL_SIZE = 224
"""Side of the images that workers read, unless asked otherwise."""


def load(request: Request) -> Splits:
    """imagefolder:PATH, with train/<class>/ and val/<class>/ in PATH.

    ``val/`` may not have a class that ``train/`` has not.
    """
    train_folder, test_folder = _parts(request.argument)
    names = classes_in(train_folder)
    train, test = listing(train_folder, names), listing(test_folder, names)
    size = _common_size(train, test, request.image_size)
    images = None if size is None else _decoded(train, test, size, tuple(names), request)
    if images is not None:
        return images.splits(request)
    return _read_by_workers(train, test, tuple(names), request)


def _parts(argument: str) -> tuple[Path, Path]:
    root = Path(argument).absolute()  # workers read the images from folders of their own
    if not argument or not root.is_dir():
        raise DataError(
            f"data must be a folder (imagefolder:PATH), but {argument!r} is none; check the path"
        )
    for part in ("train", "val"):
        if not (root / part).is_dir():
            raise DataError(
                f"the data folder must have train/ and val/, but {root} has no {part}/; "
                "name the folder that holds both, each with one folder a class"
            )
    return root / "train", root / "val"


def _common_size(train: Listing, test: Listing, asked: int | None) -> tuple[int, int] | None:
    """(height, width) if a sample of the images is small and of one size, as asked; else None."""
    paths = train.paths + test.paths
    sizes = {size_of(path) for path in paths[:: max(1, len(paths) // LOOKED_AT)]}
    height, width = min(sizes)
    fits = max(height, width) <= SMALL and len(paths) * height * width * 3 <= MOST_BYTES
    wanted = asked is None or (height, width) == (asked, asked)
    return (height, width) if len(sizes) == 1 and fits and wanted else None


def _decoded(
    train: Listing, test: Listing, size: tuple[int, int], names: tuple[str, ...], request: Request
) -> Images | None:
    """Both parts as tensors, from the cache if there; None if an image is of another size."""
    path = request.cache / "images" / f"{cache.key(size, train.stamps, test.stamps)}.pt"
    pixels = cache.load(path)
    if pixels is None:
        pixels = decode(
            train.paths + test.paths, size, partial(request.progress, "decoding the images")
        )
        if pixels is None:
            return None
        cache.save(path, pixels)
    border = len(train.paths)
    return Images(
        (pixels[:border], torch.tensor(train.labels)),
        (pixels[border:], torch.tensor(test.labels)),
        names,
        Augment(padding=min(size) // 8, flip=True),
    )


def _read_by_workers(
    train: Listing, test: Listing, names: tuple[str, ...], request: Request
) -> Splits:
    size = request.image_size or USUAL_SIZE
    learned, validated = request.cut(len(train.paths))
    plain, augmented = (Photos(train, size, augment=augment) for augment in (False, True))
    tested = Photos(test, size, augment=False)
    common = request.device, IMAGENET_MEAN, IMAGENET_STD, request.workers
    return Splits(
        LoaderSplit(plain, augmented, learned, *common),
        LoaderSplit(plain, plain, validated, *common),
        LoaderSplit(tested, tested, torch.arange(len(tested)), *common),
        len(names),
        (3, size, size),
        names,
    )


class Photos(Dataset[tuple[Tensor, int]]):
    """``Photos(listing, 224, augment=True)[0]``: an image (3, 224, 224) uint8 and its label.

    As ImageNet training and evaluation see images of any size. Training sees a random resized crop
    (8 to 100 % of the area), mirrored with probability ½; evaluation the centre of the image whose
    shorter side is 256/224 of ``size``.
    """

    def __init__(self, listing: Listing, size: int, *, augment: bool) -> None:
        from torchvision import transforms as t  # slow to import; small images do without

        self.listing = listing
        kept = [t.Resize(round(size * 256 / 224)), t.CenterCrop(size)]
        drawn = [t.RandomResizedCrop(size), t.RandomHorizontalFlip()]
        self.transform = t.Compose([*(drawn if augment else kept), t.PILToTensor()])

    def __len__(self) -> int:
        return len(self.listing.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.transform(read_rgb(self.listing.paths[index]))
        return image, self.listing.labels[index]
