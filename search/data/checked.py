"""What the user's own data hands over, looked at before any network sees it.

Whatever is wrong with it, or is raised while it is read, is a ``DataError`` of one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from search.data.loaders import unread
from search.data.splits import TAKES, Batch, Batches, images_and_labels
from spaces.errors import DataError, brief


@dataclass(frozen=True, eq=False)
class Items(Dataset[Any]):
    """The user's map-style data set: ``(input, label)`` for an index, or a ``DataError``.

    Args:
        spec: what it is called on the command line.
        classes: labels must be below; None while that is not known.
    """

    inner: Dataset[Any]
    spec: str
    classes: int | None = None

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        what = f"item {index} of {self.spec!r}"
        try:
            found = self.inner[index]
        except (Exception, SystemExit) as error:  # it is anybody's, and so is what it raises
            raise unread(what, error) from error
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise DataError(f"{what} must be (input, label), but is {_kind(found)}; {TAKES}")
        image, label = found
        if not isinstance(image, Tensor) and not hasattr(image, "__array_interface__"):
            raise DataError(
                f"{what} must have a tensor as its input, but has {_kind(image)}; {TAKES}"
            )
        if not _is_whole(label):
            got = f"{str(label)[:40]!r} ({type(label).__name__})"
            raise DataError(f"{what} must have a whole number as its label, but has {got}")
        image, number = torch.as_tensor(image), torch.tensor([int(label)])
        return _inputs(image[None], what)[0], int(_labels(number, what, self.classes))


@dataclass(frozen=True, eq=False)
class Stream:
    """The user's loader: batches of ``(inputs, labels)``, or a ``DataError``; as ``Items``."""

    inner: Batches
    spec: str
    classes: int | None = None

    def __len__(self) -> int:
        return len(self.inner)

    def __iter__(self) -> Iterator[Batch]:
        what = f"batches of {self.spec!r}"
        try:
            for found in self.inner:
                yield batch(found, what, self.classes)
        except DataError:
            raise
        except (Exception, SystemExit) as error:
            raise unread(what, error) from error


def batch(found: Any, what: str, classes: int | None = None) -> Batch:
    """Inputs (N, ...) and labels (N,) int64, if that is what was found; else a DataError.

    Args:
        what: names them in the error.
        classes: as ``Items``.
    """
    images, labels = images_and_labels(found)
    inputs = _inputs(images, what)
    if labels.shape != inputs.shape[:1]:
        raise DataError(
            f"{what} must have one class number an input, (N,), but have labels "
            f"{tuple(labels.shape)} for inputs {tuple(inputs.shape)}"
        )
    return inputs, _labels(labels, what, classes)


def length(part: Any, spec: str) -> int:
    """How many items or batches; a DataError if it does not say."""
    try:
        return len(part)
    except (Exception, SystemExit) as error:
        raise DataError(
            f"{spec!r} must return data sets or loaders with a length, but that of a "
            f"{type(part).__name__} cannot be had: {brief(error)}"
        ) from error


def _inputs(inputs: Tensor, what: str) -> Tensor:
    if inputs.layout != torch.strided or inputs.is_meta:
        kind = "on the meta device" if inputs.is_meta else inputs.layout
        raise DataError(f"{what} must have dense inputs with values, but they are {kind}")
    if inputs.dim() < 2:
        raise DataError(
            f"{what} must have inputs (N, C, H, W), but they are {tuple(inputs.shape)}; add a dim"
        )
    if inputs.dtype == torch.uint8:
        raise DataError(
            f"{what} must have inputs as the model takes them, but they are uint8; make them "
            "floats, normalised"
        )
    if not inputs.is_cuda and (broken := _broken(inputs)):  # a step must not wait for the device
        have = f"{len(broken)} of {len(inputs)} have NaN or infinity, the first at {broken[0]}"
        have = have if len(inputs) > 1 else "it has NaN or infinity"
        raise DataError(
            f"{what} must have finite numbers as its input, but {have}; mend such images, or leave "
            "them out"
        )
    return inputs.detach()


def _broken(inputs: Tensor) -> list[int]:
    """The places of the inputs that are not finite."""
    if inputs.sum().isfinite():  # quicker than to ask each number; a sum may overflow
        return []
    finite = inputs.isfinite().flatten(1).all(dim=1)
    return (~finite).nonzero().flatten().tolist()


def _labels(labels: Tensor, what: str, classes: int | None) -> Tensor:
    if labels.is_cuda:  # a step must not wait for the device
        return labels.long()
    if labels.is_complex() or not labels.eq(whole := labels.long()).all():
        raise DataError(f"{what} must have whole numbers as labels, but have {labels.dtype}")
    low, high = (int(each) for each in whole.aminmax()) if len(whole) else (0, 0)
    if low < 0:
        raise DataError(f"{what} must have labels from 0 on, but one is {low}")
    if classes is not None and high >= classes:
        raise DataError(
            f"{what} must have labels below {classes}, the number of classes, but one is {high}; "
            "if there are more classes than the training images show, say --classes"
        )
    return whole


def _is_whole(label: Any) -> bool:
    try:
        return bool(int(label) == label)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return False


def _kind(found: Any) -> str:
    if isinstance(found, Sequence) and not isinstance(found, str):
        kinds = ", ".join(type(each).__name__ for each in found[:4])
        return f"{type(found).__name__} of {len(found)} ({kinds})"
    return type(found).__name__
