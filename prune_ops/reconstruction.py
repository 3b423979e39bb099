"""Reconstruction: each layer gets the weight that best restores its outputs to their targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.contributions import Layer
from prune_ops.least_squares import NormalEquations
from prune_ops.output_tracer import Call, OutputTracer
from prune_ops.running import forward


@dataclass(slots=True)
class Target:
    """Sampled outputs of one call of a layer, and the values they should have.

    Attributes:
        at: ``(n,)``: item x positions + position.
        rows: ``(n, O)``: target values; of the sum that the outputs go into, if there is one.
        summed: whether there is one.
        gain: ``(O,)``: factor of a BatchNorm between the layer and the sum.
    """

    call: Call
    at: Tensor
    rows: Tensor
    summed: bool = False
    gain: Tensor | None = None

    @property
    def factor(self) -> Tensor:
        """``(O,)``: the factor between the layer's outputs and the target's."""
        return torch.ones_like(self.rows[0]) if self.gain is None else self.gain


def reconstruct_weights(
    network: nn.Module, targets: Mapping[nn.Parameter, Sequence[Target]], runs: Sequence[Any]
) -> None:
    """Change each weight of the network in place by least squares, in the order of ``targets``.

    A single run is passed through once for all weights; several all once for every weight.

    Args:
        network: in eval mode.
        targets: weight → its target in each of the ``runs``, which are inputs.
    """
    if len(runs) == 1:
        with _TargetTracer({weight: own[0] for weight, own in targets.items()}, _change_in_place):
            forward(network, runs[0])
        return
    systems: list[tuple[NormalEquations, Layer]] = []
    for weight, own in targets.items():
        systems.clear()
        for target, inputs in zip(own, runs, strict=True):
            with _TargetTracer({weight: target}, lambda t, x: systems.append(_system(t, x))):
                forward(network, inputs)
        if systems:
            _change(weight, reduce(add, [equations for equations, _ in systems]), systems[0][1])


class _TargetTracer(OutputTracer):
    """Passes each layer's target, and the present outputs that it applies to, to ``callback``."""

    def __init__(
        self, targets: Mapping[nn.Parameter, Target], callback: Callable[[Target, Tensor], None]
    ) -> None:
        super().__init__(targets)
        self._targets = targets
        self._callback = callback

    def used(self, call: Call, result: Tensor) -> Target | None:
        target = self._targets[call.weight]
        if target.summed:
            return Target(call.with_input_copied(), target.at, target.rows)
        self._callback(Target(call, target.at, target.rows), result)
        return None

    def normalised(self, trail: Target, arguments: Mapping[str, Any]) -> None:
        std = (arguments["running_var"] + arguments.get("eps", 1e-5)).sqrt()
        weight = arguments["weight"]
        trail.gain = std.reciprocal() if weight is None else weight / std

    def added(self, trail: Target, total: Tensor) -> None:
        self._callback(trail, total)


def _change_in_place(target: Target, outputs: Tensor) -> None:
    """Change the weight, and the outputs that the network continues with."""
    change = _change(target.call.weight, *_system(target, outputs))
    if change is not None:
        outputs += target.call.along_outputs(target.factor) * target.call.outputs_with(change)


def rows_of(outputs: Tensor, at: Tensor) -> Tensor:
    """``(B, O, positions)`` → ``(n, O)``."""
    positions = outputs.shape[2]
    return outputs[at // positions, :, at % positions]


def _system(target: Target, outputs: Tensor) -> tuple[NormalEquations, Layer]:
    """The equations of the weight's change, from the present ``outputs`` at the target."""
    layer = target.call.layer(outputs)
    error = target.rows - rows_of(target.call.flattened(outputs), target.at)
    # A branch that the BatchNorm nearly silences would need huge weights to have an effect.
    effective = target.factor.abs() > 1e-3 * target.factor.abs().max()
    targets = torch.where(effective, error / target.factor, 0)
    return NormalEquations.of(layer, target.at, targets), layer


def _change(weight: nn.Parameter, equations: NormalEquations, layer: Layer) -> Tensor | None:
    """What was added to the weight; None where that would not be finite."""
    change = equations.solved(layer)
    if not change.isfinite().all():
        return None
    change = change.reshape(weight.shape).to(weight.dtype)
    weight.add_(change)
    return change
