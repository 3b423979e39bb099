"""reconstruct: layers that lost inputs get the weights that best restore their outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops.batches import concatenated
from prune_ops.contributions import Layer
from prune_ops.least_squares import Equations, added, normal_equations, weight_change
from prune_ops.running import forward
from prune_ops.surgery.protocol import Batches, Groups, eval_copy, readers, removed
from prune_ops.tracing import Call, OutputTracer
from spaces.labels import Place
from spaces.slicing import Selection, cut, kept_positions, named_tensors

SAMPLES = 10
"""Positions per image, as in the paper; more if there are few images."""
EQUATIONS = 10
"""At least this many sampled positions per unknown, if the layer has them."""


class Reconstruct:
    """Each reader of removed channels gets the weights W′ of min ‖Y − X W′‖² over sampled outputs.

    Layer by layer in the order of use: X is the layer's input in the pruned network, earlier layers
    already reconstructed, and Y its output in ``model``. Where its output goes into a sum, directly
    or through a BatchNorm, the sum is restored: the branch compensates for what the shortcut has
    lost, its target is Y₁ − Y₁′ + Y₂. Biases and normalisations are unchanged. The unknown is the
    change of W, of the smallest norm where the images leave a choice, so that no layer is further
    from its target than after the plain cut.

    A layer used twice is cut plainly. All calibration images go through the network as one batch;
    where they cannot (items of other shapes, inputs whose first dim is no batch), batch after
    batch, once for every layer.

    Definition: He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017:
    the reconstruction that follows the selection.
    """

    name = "reconstruct"
    needs_images = True

    def __call__(
        self, model: nn.Module, groups: Groups, selection: Selection, batches: Batches
    ) -> nn.Module:
        small = cut(model, groups, selection)
        before, after = dict(model.named_parameters()), dict(small.named_parameters())
        losing = [m.parameter for group, _ in removed(groups, selection) for m in readers(group)]
        name_of = {before[name]: name for name in losing}
        kept = kept_positions(groups, selection, named_tensors(model))
        runs = concatenated(batches)
        with torch.no_grad():
            by_weight = _targets(eval_copy(model), name_of, runs)
            targets = {
                after[name_of[weight]]: [_narrowed(t, name_of[weight], kept) for t in own]
                for weight, own in by_weight.items()
            }
            _reconstruct(eval_copy(small), targets, runs)
        return small


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


def _targets(
    network: nn.Module, weights: Iterable[nn.Parameter], runs: Sequence[Any]
) -> dict[nn.Parameter, list[Target]]:
    """Weight → a target in each run, in the order in which they can be reconstructed.

    Only weights that every run uses once.
    """
    generator = torch.Generator().manual_seed(0)
    tracers = [_Sampler(weights, generator, len(runs)) for _ in runs]
    for tracer, inputs in zip(tracers, runs, strict=True):
        with tracer:
            forward(network, inputs)
    by_run = [tracer.targets for tracer in tracers]
    once = [w for w in by_run[0] if all(len(targets.get(w, [])) == 1 for targets in by_run)]
    return {weight: [targets[weight][0] for targets in by_run] for weight in once}


class _Sampler(OutputTracer):
    """``targets``: weight → one per call, ordered by when the last of them is known.

    Several ``runs`` share the positions that are sampled.
    """

    def __init__(
        self, weights: Iterable[nn.Parameter], generator: torch.Generator, runs: int
    ) -> None:
        super().__init__(weights)
        self.targets: dict[nn.Parameter, list[Target]] = {}
        self._generator = generator
        self._runs = runs

    def used(self, call: Call, result: Tensor) -> Target:
        at = _drawn(call.layer(result), self._generator, self._runs).to(result.device)
        target = Target(call, at, _rows(call.flattened(result), at))
        self.targets.setdefault(call.weight, []).append(target)
        return target

    def added(self, trail: Target, total: Tensor) -> None:
        trail.rows, trail.summed = _rows(trail.call.flattened(total), trail.at), True
        self.targets[trail.call.weight] = self.targets.pop(trail.call.weight)


def _drawn(layer: Layer, generator: torch.Generator, runs: int) -> Tensor:
    """Output positions for one of ``runs`` runs, without replacement."""
    items, positions = len(layer.inputs), math.prod(layer.positions)
    unknowns = layer.inputs.shape[1] // layer.groups * math.prod(layer.weight.shape[2:])
    count = max(SAMPLES * items, -(-EQUATIONS * unknowns // runs))
    return torch.randperm(items * positions, generator=generator)[:count].sort().values


def _narrowed(target: Target, name: str, kept: Mapping[Place, np.ndarray]) -> Target:
    """The target without the layer's removed output channels."""
    dim = int(target.call.transposed)
    if (name, dim) in kept:
        index = torch.from_numpy(kept[name, dim]).to(target.rows.device)
        size = target.call.weight.shape[1] if dim else 0  # of each group of a transposed layer
        groups = target.rows.shape[1] // size if dim else 1
        target.rows = torch.cat([target.rows[:, index + q * size] for q in range(groups)], 1)
    return target


def _reconstruct(
    network: nn.Module, targets: Mapping[nn.Parameter, Sequence[Target]], runs: Sequence[Any]
) -> None:
    """Change the weights of an eval-mode network in place, in the order of ``targets``.

    A single run is passed through once for all weights; several all once for every weight.
    """
    if len(runs) == 1:
        with _TargetTracer({weight: own[0] for weight, own in targets.items()}, _change_in_place):
            forward(network, runs[0])
        return
    systems: list[tuple[Equations, Layer]] = []
    for weight, own in targets.items():
        systems.clear()
        for target, inputs in zip(own, runs, strict=True):
            with _TargetTracer({weight: target}, lambda t, x: systems.append(_system(t, x))):
                forward(network, inputs)
        if systems:
            _change(weight, reduce(added, [equations for equations, _ in systems]), systems[0][1])


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


def _system(target: Target, outputs: Tensor) -> tuple[Equations, Layer]:
    """The equations of the weight's change, from the present ``outputs`` at the target."""
    layer = target.call.layer(outputs)
    error = target.rows - _rows(target.call.flattened(outputs), target.at)
    # A branch that the BatchNorm nearly silences would need huge weights to have an effect.
    effective = target.factor.abs() > 1e-3 * target.factor.abs().max()
    targets = torch.where(effective, error / target.factor, 0)
    return normal_equations(layer, target.at, targets), layer


def _change(weight: nn.Parameter, equations: Equations, layer: Layer) -> Tensor | None:
    """What was added to the weight; None where that would not be finite."""
    change = weight_change(equations, layer)
    if not change.isfinite().all():
        return None
    change = change.reshape(weight.shape).to(weight.dtype)
    weight.add_(change)
    return change


def _rows(outputs: Tensor, at: Tensor) -> Tensor:
    """``(B, O, positions)`` → ``(n, O)``."""
    positions = outputs.shape[2]
    return outputs[at // positions, :, at % positions]
