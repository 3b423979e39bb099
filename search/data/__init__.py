"""Data by name: one file a source, one line in ``SOURCES`` each.

| name | images |
|---|---|
| ``digits`` | scikit-learn's 8x8 digits, no download |
| ``cifar10``, ``cifar10:PATH`` | from PATH or downloaded into the cache |
| ``fashion-mnist``, ``fashion-mnist:PATH`` | from Debian's package or PATH, or downloaded |
| ``imagefolder:PATH`` | ``PATH/{train,val}/<class>/*``; val is the test split |
| ``package.module:function`` | your own (train, validation, test) |
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from search.data import cifar10, custom, digits, fashion_mnist, imagefolder
from search.data.source import Request, Splits
from search.data.splits import Augment, Split, TensorSplit
from spaces.errors import DataError, unknown

__all__ = ["SOURCES", "Augment", "Request", "Split", "Splits", "TensorSplit", "check", "load"]

MOST_CLASSES = 2**20
"""A larger label is a slip, and no memory holds a network with an output for each."""

SOURCES: Mapping[str, Callable[[Request], Splits]] = {
    "digits": digits.load,
    "cifar10": cifar10.load,
    "fashion-mnist": fashion_mnist.load,
    "imagefolder": imagefolder.load,
}


def load(spec: str, **asked: Any) -> Splits:
    """The three splits of a data set; ``asked`` are fields of ``Request``.

    >>> splits = load("digits", seed=0, device=torch.device("cuda"))
    >>> len(splits.train), len(splits.validation), len(splits.test), splits.classes, splits.shape
    (603, 494, 700, 10, (1, 8, 8))

    Raises:
        DataError: the data is missing, damaged, not what its source expects, or of one class.
        UserError: no such name (the nearest is named), or the user's function fails.
    """
    check(spec)
    name, _, argument = spec.partition(":")
    asked = {"workers": min(8, os.cpu_count() or 1)} | asked
    if name in SOURCES:
        splits = SOURCES[name](Request(argument=argument, **asked))
    else:
        splits = custom.load(Request(argument=spec, **asked))
    splits = _of_classes(splits, spec, asked.get("classes"))
    if splits.classes < 2:
        raise DataError(f"data {spec!r} must have at least 2 classes, but has {splits.classes}")
    if splits.classes > MOST_CLASSES:
        raise DataError(
            f"data {spec!r} must have labels below {MOST_CLASSES:,}, but one is "
            f"{splits.classes - 1:,}; number the classes from 0 on"
        )
    return splits


def _of_classes(splits: Splits, spec: str, classes: int | None) -> Splits:
    if classes is not None and classes < splits.classes:
        raise DataError(
            f"--classes must be at least the {splits.classes} of data {spec!r}, but got {classes}; "
            "leave it out"
        )
    return replace(splits, classes=classes or splits.classes)


def check(spec: str) -> None:
    """Refuse a name that ``load`` does not know, before anything else is loaded.

    Raises:
        UserError: no such name; the nearest is named.
    """
    if ":" not in spec and spec not in SOURCES:
        raise unknown("data", spec, [*SOURCES, "package.module:function"])
