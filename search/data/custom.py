"""The user's own data: ``package.module:function`` returning (train, validation, test)."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from search import callables
from search.data.checked import Items, Stream, batch, length
from search.data.loaders import LoaderSplit, StreamSplit
from search.data.source import Request, Splits
from search.data.splits import Split, TensorSplit
from spaces.errors import DataError

WRAPPED = 4
"""How deep a data set is looked for: a loader of a subset of a subset of it."""


def load(request: Request) -> Splits:
    """Call the function; ``seed`` and ``image_size`` are passed if it takes them by name. A size
    that is asked for it must take.

    Each of the three it returns is one of

    - a ``TensorDataset`` of inputs (N, C, H, W) and int64 labels: kept on the device;
    - a map-style ``Dataset`` of ``(input, label)``: read by workers, shuffled and batched here;
    - a ``DataLoader``, or any iterable of batches that has a length: iterated as it is.

    Inputs are float32 as the model takes them, normalised and augmented by the user. The classes
    are those asked for, or counted from ``.classes`` of a data set, which names them, or from the
    labels of train, or of validation where train is a loader. A ``Splits`` is taken as it is.
    """
    spec = request.argument
    if request.image_size is not None and "image_size" not in callables.taken(spec, "image_size"):
        raise DataError(
            f"{spec!r} must take image_size for --image-size to change anything, but it does not; "
            "let it, or leave --image-size out"
        )
    parts = callables.call(spec, seed=request.seed, image_size=request.image_size)
    if isinstance(parts, Splits):
        return parts
    if not isinstance(parts, (tuple, list)) or len(parts) != 3:
        size = f" of {len(parts)}" if isinstance(parts, Sized) else ""
        raise DataError(
            f"{spec!r} must return (train, validation, test), but it returned "
            f"{type(parts).__name__}{size}"
        )
    train, validation, test = splits = [
        _split(part, spec, request.device, request.workers) for part in parts
    ]
    if not all(map(len, splits)):
        raise DataError(f"{spec!r} must return three parts with images, but one is empty")
    shape = _common_shape(splits, spec)
    classes = request.classes or _classes(parts, train, validation)
    train, validation, test = (_bounded(split, spec, classes) for split in splits)
    names = _names(parts[0])
    return Splits(_limited(train, spec, request), validation, test, classes, shape, names)


def _common_shape(splits: list[Split], spec: str) -> tuple[int, ...]:
    """Of one input of the validation split; others may differ in height and width alone."""
    train, shape, test = (tuple(next(iter(s.batches(1)))[0].shape[1:]) for s in splits)
    if len({(len(each), each[0]) for each in (train, shape, test)}) > 1:
        raise DataError(
            f"the parts of {spec!r} must have inputs alike, but they are {train} in train, {shape} "
            f"in validation and {test} in test"
        )
    return shape


def _bounded(split: Split, spec: str, classes: int) -> Split:
    """The split with labels that are held against the number of classes."""
    if isinstance(split, TensorSplit):
        batch((split.images, split.labels.cpu()), f"the tensors of {spec!r}", classes)
    if isinstance(split, LoaderSplit) and isinstance(split.plain, Items):
        items = replace(split.plain, classes=classes)
        return replace(split, plain=items, augmented=items)
    if isinstance(split, StreamSplit) and isinstance(split.loader, Stream):
        return replace(split, loader=replace(split.loader, classes=classes))
    return split


def image_split(part: Any, name: str, device: torch.device, workers: int = 0) -> Split:
    """A part of a user's data as a `Split`: one it is already, or of the kinds that `load` takes.

    Args:
        name: of the part, for messages.
        workers: processes that read a map-style data set.
    """
    if hasattr(part, "batches") and hasattr(part, "indexable"):
        return part
    return _split(part, name, device, workers)


def _split(part: Any, spec: str, device: torch.device, workers: int) -> Split:
    if isinstance(part, TensorDataset):
        inputs, labels = batch(part.tensors, f"the tensors of {spec!r}")
        return TensorSplit(inputs.to(device), labels.to(device))
    if isinstance(part, DataLoader):
        return StreamSplit(Stream(part, spec), device, length(part.dataset, spec))
    if isinstance(part, Dataset) and isinstance(part, Sized):
        items, indices = Items(part, spec), torch.arange(length(part, spec))
        return LoaderSplit(items, items, indices, device, workers=workers)
    if isinstance(part, Iterable) and isinstance(part, Sized) and not isinstance(part, tuple):
        stream = Stream(part, spec)
        return StreamSplit(stream, device, _counted(stream, spec))
    raise DataError(
        f"{spec!r} must return data sets or loaders with a length, but one of them is "
        f"{type(part).__name__}"
    )


def _counted(stream: Stream, spec: str) -> int:
    """The inputs in a pass, of as many batches as it says it has."""
    said = length(stream, spec)
    sizes = [len(labels) for _, (_, labels) in zip(range(said + 1), stream, strict=False)]
    if len(sizes) != said:
        raise DataError(
            f"a loader of {spec!r} must give as many batches as its length says, but it says "
            f"{said} and gives {'more' if len(sizes) > said else len(sizes)}"
        )
    return sum(sizes)


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
    if (named := _named(parts[0])) is not None:
        return len(named)
    counted = validation if isinstance(train, StreamSplit) else train
    return 1 + max(int(labels.max()) for _, labels in counted.batches(1024))


def _named(part: Any) -> Sized | None:
    """``.classes`` of a data set, or of the one that a loader or subset has in it."""
    for _ in range(WRAPPED):
        if isinstance(named := getattr(part, "classes", None), Sized):
            return named
        part = getattr(part, "dataset", None)
    return None


def _names(part: Any) -> tuple[str, ...]:
    """The names that a data set gives its classes; none where they are not all text."""
    named = _named(part)
    names: list[Any] = (
        list(named) if isinstance(named, Iterable) and not isinstance(named, str) else []
    )
    return tuple(map(str, names)) if all(isinstance(name, str) for name in names) else ()
