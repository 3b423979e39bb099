"""passes: a network run once, on a copy in eval mode and without TF32.

The network and the random state stay as they are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from prune_ops.artifact.files import on_cpu
from spaces import copied
from spaces.errors import brief
from spaces.inputs import Inputs, call, moved, tensors
from spaces.probe import full_precision

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


@dataclass(frozen=True, slots=True)
class Pass:
    """What a network gave.

    Attributes:
        outputs: all tensors in it, in order, on the CPU.
        tolerance: how far another machine may be off; that of the coarsest dtype computed in.
    """

    outputs: list[Tensor]
    tolerance: float


class Failed(Exception):
    """The network does not run; the message is what follows "but it"."""


def usable(model: nn.Module, example: Inputs) -> Inputs:
    """The example with noise in place of constants, if the network then gives numbers.

    Of zeros, which networks are often traced with, many compute next to nothing.
    """
    noisy = _noisy(example)
    try:
        numbers = all(bool(x.isfinite().all()) for x in run(model, noisy).outputs)
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


def run(model: nn.Module, inputs: Inputs, seed: int = 0) -> Pass:
    """One pass of a copy in eval mode.

    Raises:
        Failed: the network raises something.
        ModelError: it cannot be copied.
    """
    probe = copied(model).eval()
    every = (*model.parameters(), *model.buffers())
    device = next((tensor.device for tensor in every), torch.device("cpu"))
    given = moved(tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, inputs), device)
    try:
        with full_precision(), _drawing_from(seed, device), torch.no_grad(), _Dtypes() as dtypes:
            found: list[Tensor] = tensors(call(probe, given))
    except Exception as error:  # the model is anybody's, and so is what it raises
        raise Failed(f"fails with {brief(error)}") from error
    outputs = [x if x.layout == torch.strided else x.to_dense() for x in on_cpu(found)]
    coarse = (TOLERANCES.get(kind, COARSEST) for kind in dtypes.seen)
    return Pass(outputs, max(coarse, default=0.0))


class _Dtypes(TorchDispatchMode):
    """Which dtypes are computed in: autocast, say, is coarser than inputs and outputs tell."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.seen |= {tensor.dtype for tensor in tensors(result) if has_point(tensor)}
        return result


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


def has_point(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
