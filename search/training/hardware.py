"""The device, and what makes a network run well on it: layout, precision and threads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from search.training.modes import AUTO, BFLOAT16
from spaces.errors import UserError
from spaces.inputs import call, tensors

TINY = 256
"""Pixels of an image up to which a second thread gains nothing."""


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one. A UserError if it is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cpu" and not number:
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if kind == "cuda" and (number.isdecimal() or not number) and int(number or 0) < count:
        return torch.device(name)
    here = ["auto", "cpu", *(f"cuda:{i}" for i in range(count))]
    found = "" if count else ", as torch finds no CUDA device here"
    raise UserError(
        f"device must be one of {', '.join(here)}{found}, but got {name!r}; leave it out to take "
        "what there is"
    )


@torch.no_grad()
def prefer_channels_last(model: nn.Module, inputs: Any) -> None:
    """Lay the weights out channels_last, in place, unless the model then fails on ``inputs``.

    Convolutions follow the layout of their weights. A model's ``x.view(len(x), -1)`` expects the
    channels first, and raises. Not for the CPU: with torch 2.15 the backward pass of some
    small channels_last convolutions there corrupts the heap (found in 3 to 5 of 30 trials on
    digits; ``tests/search/test_train.py`` trains the widths that showed it).
    """
    training = model.training
    try:
        call(model.to(memory_format=torch.channels_last).eval(), inputs)
    except RuntimeError:
        model.to(memory_format=torch.contiguous_format)
    model.train(training)


def outputs_of(model: nn.Module, inputs: Any, precision: str = AUTO) -> Any:
    """What the network gives for inputs of any form, computed in a precision of `PRECISIONS`.

    In bfloat16 under autocast: products are rounded, weights and sums are not. Outputs of 16 bits
    come out as float32.
    """
    device = next(iter(tensors(inputs))).device.type
    if not _rounds(precision, device):
        return call(model, inputs)
    with torch.autocast(device, torch.bfloat16):
        outputs = call(model, inputs)
    return tree_map_only(Tensor, lambda t: t.float() if t.dtype == torch.bfloat16 else t, outputs)


def logits_of(model: nn.Module, inputs: Any, precision: str = AUTO) -> Tensor:
    """The same of a classifier: logits (B, classes) float32."""
    logits: Tensor = outputs_of(model, inputs, precision)
    return logits.float()


def _rounds(precision: str, device: str) -> bool:
    return precision == BFLOAT16 or (precision == AUTO and device == "cuda")


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Have torch use this number of threads in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_suited_to(example: Any) -> AbstractContextManager[None]:
    """Use one thread in the block if the inputs are tiny images (..., H, W), else as before.

    A step on digits takes 10 ms with one thread or two, and three times as long with two when
    another process wants the second core: threads then wait for each other.
    """
    tiny = all(t.dim() > 2 and math.prod(t.shape[-2:]) <= TINY for t in tensors(example))
    return torch_threads(1 if tiny else torch.get_num_threads())
