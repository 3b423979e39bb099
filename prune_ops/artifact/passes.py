"""passes: single forward passes, on a copy in eval mode and without TF32, and their comparison.

The network and the random state are unchanged.
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
from torch.utils._pytree import tree_map, tree_map_only

from prune_ops.artifact.files import on_cpu
from spaces import copied
from spaces.errors import ModelError, blamed
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
"""The expected difference on another machine, relative to an output's largest value."""

COARSEST = 0.1
"""The same for any other floating-point dtype."""
FLOOR = 1e-4
"""The least value that differences are relative to: smaller outputs may be all rounding."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The result of a forward pass.

    Attributes:
        outputs: all output tensors, in order, on the CPU.
        tolerance: relative difference allowed on another machine; that of the coarsest dtype used.
    """

    outputs: list[Tensor]
    tolerance: float


class Failed(Exception):
    """The network does not run; the message is what follows "but it"."""


def informative(model: nn.Module, example: Inputs) -> Inputs:
    """The example with noise in place of constants (zeros, say), if the outputs are then finite."""
    generator = torch.Generator().manual_seed(0)

    def drawn(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.numel() < 2:
            return value
        constant = bool((value == value.flatten()[0]).all())
        return torch.randn(value.shape, generator=generator).to(value) if constant else value

    noisy: Inputs = tree_map(drawn, example)
    try:
        finite = all(bool(x.isfinite().all()) for x in run(model, noisy).outputs)
    except Failed:
        return example
    return noisy if finite else example


def run(model: nn.Module, inputs: Inputs, seed: int = 0) -> Pass:
    """One pass of a copy in eval mode; raises Failed where the network raises something."""
    probe = copied(model).eval()
    state = (*model.parameters(), *model.buffers())
    device = next((tensor.device for tensor in state), torch.device("cpu"))
    arguments = moved(tree_map_only(Tensor, Tensor.clone, inputs), device)
    try:
        with full_precision(), _seeded(seed, device), torch.no_grad(), _Dtypes() as dtypes:
            raw: list[Tensor] = tensors(call(probe, arguments))
    except Exception as error:  # the user's model may raise anything
        raise Failed(f"fails with {blamed(error)}") from error
    outputs = [x if x.layout == torch.strided else x.to_dense() for x in on_cpu(raw)]
    coarse = (TOLERANCES.get(kind, COARSEST) for kind in dtypes.used)
    return Pass(outputs, max(coarse, default=0.0))


class _Dtypes(TorchDispatchMode):
    """The dtypes computed in: autocast, say, is coarser than inputs and outputs show."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.used: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.used |= {tensor.dtype for tensor in tensors(result) if is_inexact(tensor)}
        return result


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed all generators, and restore them afterwards."""
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


def is_inexact(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def reproducible_pass(model: nn.Module, inputs: Inputs) -> Pass | None:
    """The network's pass over these inputs; None if it differs from a second one."""
    try:
        first, second = run(model, inputs, 0), run(model, inputs, 1)
    except Failed as error:
        raise ModelError(
            f"a network must run before it is saved, but it {error}; give what it is called with "
            "as save(..., example=)"
        ) from error
    return first if difference(second, first) is None else None


def mismatch(model: nn.Module, inputs: Inputs, expected: Pass) -> str | None:
    """How the network's pass differs from the expected one, or that it fails; None if neither."""
    try:
        return difference(run(model, inputs), expected)
    except Failed as error:
        return f"it {error}"


def difference(actual: Pass, expected: Pass) -> str | None:
    """How outputs differ by more than another machine's rounding explains, in words; or None."""
    count = len(expected.outputs)
    if len(actual.outputs) != count:
        return f"it gives {len(actual.outputs)} outputs instead of {count}"
    allowed = max(actual.tolerance, expected.tolerance)
    pairs = zip(actual.outputs, expected.outputs, strict=True)
    for number, (output, wanted) in enumerate(pairs, start=1):
        if output.shape != wanted.shape:
            shapes = f"{tuple(output.shape)} instead of {tuple(wanted.shape)}"
            return f"output {number} of {count} is {shapes}"
        error = _relative_error(output, wanted)
        if not error <= allowed:
            relative = f"{error:.2g} of its largest value (at most {allowed:g})"
            return f"output {number} of {count} is off by {relative}"
    return None


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the largest value; of integers, the share that differ."""
    if not expected.numel():
        return 0.0
    if not is_inexact(expected) or not is_inexact(actual):
        return float((actual != expected).double().mean())
    wide = torch.complex128 if expected.is_complex() or actual.is_complex() else torch.float64
    actual, expected = actual.to(wide), expected.to(wide)
    finite = expected.isfinite()
    same = torch.equal(finite, actual.isfinite())
    if not same or not torch.allclose(actual[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    largest = max(expected[finite].abs().max().item(), FLOOR)
    return (actual - expected)[finite].abs().max().item() / largest
