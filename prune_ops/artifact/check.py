"""check: one forward pass of a network, for whoever rebuilds it to hold the result against."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prune_ops.artifact.passes import Failed, Pass, has_point, run
from spaces.errors import ModelError
from spaces.inputs import Inputs

FLOOR = 1e-4
"""An output with no larger value than this is judged as if it had one: it may be all rounding."""


def repeated(model: nn.Module, inputs: Inputs) -> Pass | None:
    """The network's pass over these inputs; None if another one gives something else.

    Raises:
        ModelError: the network fails on these inputs, or cannot be copied.
    """
    try:
        first, second = run(model, inputs, 0), run(model, inputs, 1)
    except Failed as error:
        raise ModelError(
            f"a network must run before it is saved, but it {error}; give what it is called with "
            "as save(..., example=)"
        ) from error
    return first if difference(second, first) is None else None


def verified(model: nn.Module, inputs: Inputs, wanted: Pass) -> str | None:
    """As ``difference``, of a pass made now; also that the network fails."""
    try:
        return difference(run(model, inputs), wanted)
    except Failed as error:
        return f"it {error}"


def difference(got: Pass, wanted: Pass) -> str | None:
    """How outputs differ by more than rounding on another machine explains, in words; or None."""
    if len(got.outputs) != len(wanted.outputs):
        return f"it gives {len(got.outputs)} outputs instead of {len(wanted.outputs)}"
    allowed = max(got.tolerance, wanted.tolerance)
    pairs = zip(got.outputs, wanted.outputs, strict=True)
    for number, (one, other) in enumerate(pairs, start=1):
        which = f"output {number} of {len(wanted.outputs)}"
        if one.shape != other.shape:
            return f"{which} is {tuple(one.shape)} instead of {tuple(other.shape)}"
        off = _off(one, other)
        if not off <= allowed:
            return f"{which} is off by {off:.2g} of its largest value (at most {allowed:g})"
    return None


def _off(got: Tensor, wanted: Tensor) -> float:
    """Largest difference as a share of the largest value; of integers, the share that differ."""
    if not wanted.numel():
        return 0.0
    if not has_point(wanted) or not has_point(got):
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
