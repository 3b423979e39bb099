"""Mending: each layer gets the weight that brings what it gives back to what it should give."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.contributions import Layer
from prune_ops.equations import Equations
from prune_ops.following import Call, Followed
from prune_ops.running import ran


@dataclass(slots=True)
class End:
    """Sampled outputs of one call of a layer, and what becomes of them.

    Attributes:
        at: ``(n,)``: item x positions + position.
        rows: ``(n, O)``: what they should be; the sum they go into, if there is one.
        summed: whether there is one.
        gain: ``(O,)``: what a BatchNorm on the way to there multiplies by.
    """

    call: Call
    at: Tensor
    rows: Tensor
    summed: bool = False
    gain: Tensor | None = None

    @property
    def heard_by(self) -> Tensor:
        """``(O,)``: the factor between the layer's outputs and its end."""
        return torch.ones_like(self.rows[0]) if self.gain is None else self.gain


def mend(
    network: nn.Module, known: Mapping[nn.Parameter, Sequence[End]], runs: Sequence[Any]
) -> None:
    """Change each weight of the network in place, the first first, by least squares.

    One run is enough for all; of several, all go through the network once for every weight.

    Args:
        network: in eval mode.
        known: weight → its end in each run.
        runs: inputs.
    """
    if len(runs) == 1:
        with _AtOnce({weight: ends[0] for weight, ends in known.items()}):
            ran(network, runs[0])
        return
    for weight, ends in known.items():
        pairs = zip(ends, runs, strict=True)
        met = [found for end, inputs in pairs if (found := _met(network, weight, end, inputs))]
        if met:
            _changed(weight, reduce(add, [equations for equations, _ in met]), met[0][1])


def _met(
    network: nn.Module, weight: nn.Parameter, end: End, inputs: Any
) -> tuple[Equations, Layer] | None:
    """The equations that one run gives for one weight."""
    with _Meeting({weight: end}) as meeting:
        ran(network, inputs)
    return meeting.found


class _Ending(Followed):
    """Says what each layer and the outputs at its end now are."""

    def __init__(self, targets: Mapping[nn.Parameter, End]) -> None:
        super().__init__(targets)
        self._targets = targets

    @abstractmethod
    def ended(self, end: End, outputs: Tensor) -> None:
        """The outputs that ``end.rows`` are the targets of; those of the layer or of a sum."""

    def used(self, call: Call, result: Tensor) -> End | None:
        target = self._targets[call.weight]
        now = End(call.kept() if target.summed else call, target.at, target.rows)
        if target.summed:
            return now
        self.ended(now, result)
        return None

    def normalised(self, trail: End, given: Mapping[str, Any]) -> None:
        spread = (given["running_var"] + given.get("eps", 1e-5)).sqrt()
        trail.gain = spread.reciprocal() if given["weight"] is None else given["weight"] / spread

    def added(self, trail: End, total: Tensor) -> None:
        self.ended(trail, total)


class _AtOnce(_Ending):
    """Changes each weight, and the outputs that the network goes on with, when its end is known."""

    def ended(self, end: End, outputs: Tensor) -> None:
        change = _changed(end.call.weight, *_equations(end, outputs))
        if change is not None:
            outputs += end.call.along_outputs(end.heard_by) * end.call.of(change)


class _Meeting(_Ending):
    """``found``: the equations of the one weight that is looked at, and its layer."""

    found: tuple[Equations, Layer] | None = None

    def ended(self, end: End, outputs: Tensor) -> None:
        self.found = _equations(end, outputs)


def rows_of(outputs: Tensor, at: Tensor) -> Tensor:
    """``(B, O, positions)`` → ``(n, O)``."""
    positions = outputs.shape[2]
    return outputs[at // positions, :, at % positions]


def _equations(end: End, outputs: Tensor) -> tuple[Equations, Layer]:
    """Of the change of a layer's weight, when ``outputs`` are what is at its end now."""
    layer = end.call.layer(outputs)
    error, gain = end.rows - rows_of(end.call.listed(outputs), end.at), end.heard_by
    # A branch that the BatchNorm all but silences would need huge weights to be heard.
    heard = gain.abs() > 1e-3 * gain.abs().max()
    return Equations.of(layer, end.at, torch.where(heard, error / gain, 0)), layer


def _changed(weight: nn.Parameter, equations: Equations, layer: Layer) -> Tensor | None:
    """What was added to the weight; None where that would not be finite."""
    change = equations.solved(layer)
    if not change.isfinite().all():
        return None
    change = change.reshape(weight.shape).to(weight.dtype)
    weight.add_(change)
    return change
