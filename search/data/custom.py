"""The user's own data: ``package.module:function`` returning (train, validation, test)."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from search import callables
from search.data.loaders import LoaderSplit, StreamSplit
from search.data.pairs import images_and_labels
from search.data.source import Request, Splits
from search.data.splits import Split, TensorSplit
from spaces.errors import DataError


def load(request: Request) -> Splits:
    """Call the function; ``seed`` and ``image_size`` are passed if it takes them by name.

    Each of the three it returns is one of

    - a ``TensorDataset`` of inputs (N, C, H, W) and int64 labels: kept on the device;
    - a map-style ``Dataset`` of ``(input, label)``: read by workers, shuffled and batched here;
    - a ``DataLoader``, or any iterable of batches that has a length: iterated as it is.

    Inputs are float32 as the model takes them, normalised and augmented by the user. The classes
    are counted from ``.classes`` of a data set, or from the labels of train, or of validation
    where train is a loader. A ``Splits`` is taken as it is.

    Raises:
        DataError: the function returns something else, a part is empty, or its batches are not a
            tensor of images and one of labels.
    """
    spec = request.argument
    parts = callables.call(spec, seed=request.seed, image_size=request.image_size)
    if isinstance(parts, Splits):
        return parts
    if not isinstance(parts, (tuple, list)) or len(parts) != 3:
        size = f" of {len(parts)}" if isinstance(parts, Sized) else ""
        raise DataError(
            f"{spec!r} must return (train, validation, test), but it returned "
            f"{type(parts).__name__}{size}"
        )
    train, validation, test = (_split(part, spec, request) for part in parts)
    inputs, _ = next(iter(validation.batches(1)))
    next(iter(test.batches(1)))  # what is wrong with it must not wait until the search has ended
    classes = _classes(parts, train, validation)
    train = _limited(train, spec, request)
    return Splits(train, validation, test, classes, tuple(inputs.shape[1:]))


def _split(part: Any, spec: str, request: Request) -> Split:
    split = _wrapped(part, spec, request)
    if not len(split):
        raise DataError(f"{spec!r} must return three parts with images, but one is empty")
    return split


def _wrapped(part: Any, spec: str, request: Request) -> Split:
    device = request.device
    if isinstance(part, TensorDataset):
        inputs, labels = images_and_labels(part.tensors)
        return TensorSplit(inputs.to(device), labels.to(device).long())
    if isinstance(part, DataLoader):
        return StreamSplit(part, device, len(part.dataset))  # type: ignore[arg-type]
    if isinstance(part, Dataset) and isinstance(part, Sized):
        return LoaderSplit(part, part, torch.arange(len(part)), device, workers=request.workers)
    if isinstance(part, Iterable) and isinstance(part, Sized) and not isinstance(part, tuple):
        return StreamSplit(part, device, sum(len(images_and_labels(batch)[1]) for batch in part))
    raise DataError(
        f"{spec!r} must return data sets or loaders with a length, but one of them is "
        f"{type(part).__name__}"
    )


def _limited(train: Split, spec: str, request: Request) -> Split:
    if request.train_images is None:
        return train
    if isinstance(train, StreamSplit):
        raise DataError(
            f"train images can be limited for data sets only, but {spec!r} returns a loader for "
            "training; leave the limit out"
        )
    generator = torch.Generator().manual_seed(request.seed)
    return train.subset(torch.randperm(len(train), generator=generator)[: request.train_images])


def _classes(parts: Any, train: Split, validation: Split) -> int:
    named = getattr(getattr(parts[0], "dataset", parts[0]), "classes", None)
    if named is not None:
        return len(named)
    counted = validation if isinstance(train, StreamSplit) else train
    return 1 + max(int(labels.max()) for _, labels in counted.batches(1024))
