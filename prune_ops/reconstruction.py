"""Reconstruction: each layer gets the weight that best restores its outputs to their targets."""

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
        targets: weight → its target in each run.
        runs: inputs.
    """
    if len(runs) == 1:
        with _InPlace({weight: own[0] for weight, own in targets.items()}):
            forward(network, runs[0])
        return
    for weight, own in targets.items():
        pairs = zip(own, runs, strict=True)
        systems = [s for target, x in pairs if (s := _system_of(network, weight, target, x))]
        if systems:
            _change(weight, reduce(add, [equations for equations, _ in systems]), systems[0][1])


def _system_of(
    network: nn.Module, weight: nn.Parameter, target: Target, inputs: Any
) -> tuple[NormalEquations, Layer] | None:
    """The equations that one run gives for one weight."""
    with _Measuring({weight: target}) as tracer:
        forward(network, inputs)
    return tracer.system


class _TargetTracer(OutputTracer):
    """Reports each layer's present outputs where its target applies."""

    def __init__(self, targets: Mapping[nn.Parameter, Target]) -> None:
        super().__init__(targets)
        self._targets = targets

    @abstractmethod
    def reached(self, target: Target, outputs: Tensor) -> None:
        """``outputs`` are those that ``target.rows`` apply to, of the layer or of a sum."""

    def used(self, call: Call, result: Tensor) -> Target | None:
        target = self._targets[call.weight]
        present = Target(
            call.with_input_copied() if target.summed else call, target.at, target.rows
        )
        if target.summed:
            return present
        self.reached(present, result)
        return None

    def normalised(self, trail: Target, arguments: Mapping[str, Any]) -> None:
        std = (arguments["running_var"] + arguments.get("eps", 1e-5)).sqrt()
        weight = arguments["weight"]
        trail.gain = std.reciprocal() if weight is None else weight / std

    def added(self, trail: Target, total: Tensor) -> None:
        self.reached(trail, total)


class _InPlace(_TargetTracer):
    """Changes each weight, and the outputs that the network continues with."""

    def reached(self, target: Target, outputs: Tensor) -> None:
        change = _change(target.call.weight, *_system(target, outputs))
        if change is not None:
            outputs += target.call.along_outputs(target.factor) * target.call.outputs_with(change)


class _Measuring(_TargetTracer):
    """``system``: the equations of the one weight that is traced, and its layer."""

    system: tuple[NormalEquations, Layer] | None = None

    def reached(self, target: Target, outputs: Tensor) -> None:
        self.system = _system(target, outputs)


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
