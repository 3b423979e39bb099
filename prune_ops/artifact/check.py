"""check: one forward pass of a network, kept so that whoever rebuilds it can hold it against that.

It is run on a copy in eval mode, without TF32; the network and the random state stay as they are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from prune_ops.artifact.files import on_cpu
from spaces import copied
from spaces.errors import ModelError, brief
from spaces.inputs import Inputs, call, moved, tensors
from spaces.selfcheck import full_precision

TOLERANCES: Mapping[torch.dtype, float] = {
    torch.float64: 1e-6,
    torch.complex128: 1e-6,
    torch.float32: 1e-3,
    torch.complex64: 1e-3,
    torch.float16: 2e-2,
    torch.bfloat16: 5e-2,
}
"""Difference to be expected of another machine, as a share of an output's largest value."""

COARSEST = 0.1
"""The same for any other dtype of numbers with a point."""

FLOOR = 1e-4
"""An output with no larger value than this is judged as if it had one: it may be all rounding."""


class Failed(Exception):
    """The network does not run; the message is what follows "but it"."""


def usable(model: nn.Module, example: Inputs) -> Inputs:
    """The example with noise in place of constants, if the network then gives numbers.

    Of zeros, which networks are often traced with, many compute next to nothing.
    """
    noisy = _noisy(example)
    try:
        numbers = all(bool(x.isfinite().all()) for x in _pass(model, noisy))
    except Failed:
        return example
    return noisy if numbers else example


def _noisy(example: Inputs) -> Inputs:
    generator = torch.Generator().manual_seed(0)

    def drawn(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.numel() < 2:
            return value
        constant = bool((value == value.flatten()[0]).all())
        return torch.randn(value.shape, generator=generator).to(value) if constant else value

    noisy: Inputs = tree_map(drawn, example)
    return noisy


def outputs_of(model: nn.Module, inputs: Inputs) -> list[Tensor] | None:
    """The network's outputs, on the CPU; None if another pass gives others.

    Raises:
        ModelError: the network fails on these inputs, or cannot be copied.
    """
    try:
        first, second = _pass(model, inputs, 0), _pass(model, inputs, 1)
    except Failed as error:
        raise ModelError(
            f"a network must run before it is saved, but it {error}; give what it is called with "
            "as save(..., example=)"
        ) from error
    return first if difference(model, second, first) is None else None


def difference(model: nn.Module, got: Sequence[Tensor], wanted: Sequence[Tensor]) -> str | None:
    """How outputs differ by more than rounding on another machine explains, in words; or None."""
    if len(got) != len(wanted):
        return f"it gives {len(got)} outputs instead of {len(wanted)}"
    for number, (one, other) in enumerate(zip(got, wanted, strict=True), start=1):
        which = f"output {number} of {len(wanted)}"
        if one.shape != other.shape:
            return f"{which} is {tuple(one.shape)} instead of {tuple(other.shape)}"
        allowed, off = _tolerance(model, one, other), _off(one, other)
        if not off <= allowed:
            return f"{which} is off by {off:.2g} of its largest value (at most {allowed:g})"
    return None


def verified(model: nn.Module, inputs: Inputs, wanted: Sequence[Tensor]) -> str | None:
    """As ``difference``, of a pass made now; also that the network fails."""
    try:
        got = _pass(model, inputs)
    except Failed as error:
        return f"it {error}"
    return difference(model, got, wanted)


def _pass(model: nn.Module, inputs: Inputs, seed: int = 0) -> list[Tensor]:
    probe = copied(model).eval()
    device = next((t.device for t in _numbers(model)), torch.device("cpu"))
    given = moved(tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, inputs), device)
    try:
        with full_precision(), _drawing_from(seed, device), torch.no_grad():
            found: list[Tensor] = on_cpu(tensors(call(probe, given)))
    except Exception as error:  # the model is anybody's, and so is what it raises
        raise Failed(f"fails with {brief(error)}") from error
    return [x if x.layout == torch.strided else x.to_dense() for x in found]


@contextmanager
def _drawing_from(seed: int, device: torch.device) -> Iterator[None]:
    """All generators seeded, and afterwards as they were."""
    before = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.random.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def _numbers(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _tolerance(model: nn.Module, *outputs: Tensor) -> float:
    """By the coarsest dtype in the network: an output may have been computed in a finer one."""
    kinds = {x.dtype for x in (*outputs, *_numbers(model)) if _has_point(x)}
    return max((TOLERANCES.get(kind, COARSEST) for kind in kinds), default=0.0)


def _has_point(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _off(got: Tensor, wanted: Tensor) -> float:
    """Largest difference as a share of the largest value; of integers, the share that differ."""
    if not wanted.numel():
        return 0.0
    if not _has_point(wanted) or not _has_point(got):
        return float((got != wanted).double().mean())
    wide = torch.complex128 if wanted.is_complex() or got.is_complex() else torch.float64
    got, wanted = got.to(wide), wanted.to(wide)
    finite = wanted.isfinite()
    if not torch.equal(finite, got.isfinite()) or not _same_extremes(got, wanted, finite):
        return float("inf")
    if not finite.any():
        return 0.0
    largest = max(wanted[finite].abs().max().item(), FLOOR)
    return (got - wanted)[finite].abs().max().item() / largest


def _same_extremes(got: Tensor, wanted: Tensor, finite: Tensor) -> bool:
    return torch.allclose(got[~finite], wanted[~finite], equal_nan=True)
