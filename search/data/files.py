"""Image files below a folder: finding them, knowing them again, reading them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from spaces.errors import DataError, brief

if TYPE_CHECKING:
    from PIL.Image import Image

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
REPORT_EVERY = 1000


@dataclass(frozen=True)
class Listing:
    """The images of one part. ``stamps`` tell a changed file: its name below the folder, its bytes
    and the time of its last change in ns."""

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    stamps: tuple[tuple[str, int, int], ...]


def classes_in(folder: Path) -> list[str]:
    """The names of the class folders, sorted; a DataError if there is none."""
    names = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."
    )
    if not names:
        raise DataError(
            f"{folder} must have one folder a class with images in it, but it is empty of folders"
        )
    return names


def listing(folder: Path, classes: list[str]) -> Listing:
    """The images of ``folder``, labelled by their place in ``classes``, in the order of names.

    Raises:
        DataError: a class folder that is not among ``classes``, or no image at all.
    """
    strange = [name for name in classes_in(folder) if name not in classes]
    if strange:
        raise DataError(
            f"the classes of {folder} must be those of train/, but {strange[0]!r} is not; "
            "rename or remove it"
        )
    found = [
        (entry, label, f"{folder.name}/{name}/{entry.name}")
        for label, name in enumerate(classes)
        for entry in _images_in(folder / name)
    ]
    if not found:
        raise DataError(
            f"{folder} must have images ({' '.join(EXTENSIONS)}) in its class folders, "
            "but there are none"
        )
    stats = [entry.stat() for entry, _, _ in found]
    return Listing(
        tuple(entry.path for entry, _, _ in found),
        tuple(label for _, label, _ in found),
        tuple((f[2], s.st_size, s.st_mtime_ns) for f, s in zip(found, stats, strict=True)),
    )


def _images_in(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    images = (
        entry
        for entry in os.scandir(folder)
        if entry.name.lower().endswith(EXTENSIONS) and entry.name[0] != "."
    )
    return sorted(images, key=lambda entry: entry.name)


def size_of(path: str) -> tuple[int, int]:
    """(height, width), from the head of the file alone; a DataError if it is no image."""
    with _opened(path) as image:
        return image.height, image.width


def read_rgb(path: str) -> Image:
    """The decoded image in three channels; a DataError names it if it is none or damaged."""
    with _opened(path) as image:
        return image.convert("RGB")


@contextmanager
def _opened(path: str) -> Iterator[Image]:
    from PIL import Image  # slow to import, and most data are no files

    try:
        with Image.open(path) as image:
            yield image
    except Exception as error:  # Pillow's decoders raise whatever they meet in damaged bytes
        raise DataError(
            f"every image must be readable, but {path} is not ({brief(error)}); repair or remove it"
        ) from error


def decode(
    paths: tuple[str, ...], size: tuple[int, int], progress: Callable[[int, int], None]
) -> Tensor | None:
    """All images as one tensor (N, 3, height, width) uint8; None when one is of another size.

    Read by threads: Pillow lets go of the interpreter's lock while it decodes.
    """
    pixels = np.empty((len(paths), *size, 3), np.uint8)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            for done, image in enumerate(pool.map(read_rgb, paths), start=1):
                if (image.height, image.width) != size:
                    return None
                pixels[done - 1] = np.asarray(image)
                if done % REPORT_EVERY == 0 or done == len(paths):
                    progress(done, len(paths))
        finally:
            pool.shutdown(cancel_futures=True)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
