"""check: compares a rebuilt network's forward pass with the one that was saved."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prune_ops.artifact.passes import Failed, Pass, is_inexact, run
from spaces.errors import ModelError
from spaces.inputs import Inputs

FLOOR = 1e-4
"""The least value that differences are relative to: smaller outputs may be all rounding."""


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
