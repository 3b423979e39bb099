"""reconstruct: layers that lost inputs get the weights that best restore their outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops.batches import concatenated
from prune_ops.contributions import Layer
from prune_ops.least_squares import (
    TOO_FEW,
    Equations,
    added,
    normal_equations,
    of_change,
    weight_change,
)
from prune_ops.running import forward
from prune_ops.surgery.protocol import Batches, Cutter, Groups, eval_copy, readers, removed
from prune_ops.tracing import Call, LayerTracer, OutputTracer
from spaces.labels import Place
from spaces.slicing import Selection, cut, kept_positions, named_tensors

SAMPLES = 32
"""Positions per image, more if there are few images. The paper takes 10; with 32 a network cut to
30 % is about a point better before training, at 1.3 times the cost."""
ACTIVATIONS = 4
"""Tensors of the largest size that are there at one time, of all images: they pass as one batch."""
EQUATIONS = 10
"""At least this many sampled positions per unknown, if the layer has them."""

Solve = Callable[[nn.Parameter, Layer, Sequence[Equations]], Tensor | None]
"""Takes the equations of a weight's change; what it added to the weight, None if nothing."""


class Reconstruct:
    """Layers are refitted one after another, by ridge regression.

    Each reader of removed channels gets weights W′ of a small ‖Y − X W′‖² over sampled outputs.

    Layer by layer in the order of use: X is the layer's input in the pruned network, earlier layers
    already reconstructed, and Y its output in ``model``. Where its output goes into a sum, directly
    or through a BatchNorm, the sum is restored: the branch compensates for what the shortcut has
    lost, its target is Y₁ − Y₁′ + Y₂. Biases and normalisations are unchanged. The unknown is the
    change of W, found by `ridge_regression`: it is the smaller, the more of the error is noise to
    it, and 0 where the images leave a choice. So no layer is further from its target than after the
    plain cut, and few images do no harm.

    A layer used twice is cut plainly. Y is measured once for all selections, of every layer that
    reads a group. All calibration images go through the pruned network as one batch; where they
    cannot (items of other shapes, inputs whose first dim is no batch), batch after batch, once for
    every layer.

    Definition: He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017:
    the reconstruction that follows the selection.
    """

    name = "reconstruct"
    needs_images = True

    def prepare(self, model: nn.Module, groups: Groups, batches: Batches) -> Cutter:
        weights = dict(model.named_parameters())
        name_of = {weights[m.parameter]: m.parameter for g in groups for m in readers(g)}
        runs = concatenated(batches)
        with torch.no_grad():
            measured = _measured(eval_copy(model), name_of, batches, runs)
        targets = {name_of[weight]: own for weight, own in measured.items()}
        return partial(_reconstructed, model, groups, targets, runs)


def short_of_images(
    model: nn.Module, groups: Groups, inputs: Any, images: int
) -> dict[str, tuple[int, int]]:
    """The layers for which so many images give fewer than `TOO_FEW` equations per unknown.

    Their changes are held back, as `ridge_regression` says. Weight → (equations, unknowns) of the
    unpruned layer; where inputs are cut away there are fewer unknowns.

    Args:
        inputs: those of one image.
    """
    weights = dict(model.named_parameters())
    name_of = {weights[m.parameter]: m.parameter for g in groups for m in readers(g)}
    found: dict[str, tuple[int, int]] = {}

    def seen(weight: nn.Parameter, layer: Layer) -> None:
        equations = images * len(layer.inputs) * math.prod(layer.positions)
        if equations < TOO_FEW * layer.unknowns:
            found[name_of[weight]] = equations, layer.unknowns

    with torch.no_grad(), LayerTracer(name_of, seen):
        forward(eval_copy(model), inputs)
    return found


def bytes_per_image(model: nn.Module, inputs: Any) -> int:
    """About what each image takes: its part of the activations, and the targets that are kept.

    Args:
        inputs: those of one image.
    """
    largest, kept = 1, 0

    def seen(_weight: nn.Parameter, layer: Layer) -> None:
        nonlocal largest, kept
        items, positions = len(layer.inputs), math.prod(layer.positions)
        size = layer.inputs.element_size()
        outputs = items * layer.outputs * positions
        largest = max(largest, size * max(layer.inputs.numel(), outputs))
        kept += size * items * layer.outputs * min(SAMPLES, positions)

    with torch.no_grad(), LayerTracer(model.parameters(), seen):
        forward(eval_copy(model), inputs)
    return ACTIVATIONS * largest + kept


@dataclass(frozen=True, slots=True)
class Target:
    """Sampled outputs of one call of a layer, and the values they should have.

    Attributes:
        call: of the layer in the unpruned network; its weight only.
        shape: ``(items, *spatial)`` of the layer's input.
        positions: the spatial shape of its outputs.
        at: ``(n,)``: item x positions + position.
        rows: ``(n, O)``: target values; of the sum that the outputs go into, if there is one.
        summed: whether there is one.
    """

    call: Call
    shape: tuple[int, ...]
    positions: tuple[int, ...]
    at: Tensor
    rows: Tensor
    summed: bool = False

    def is_of(self, layer: Layer) -> bool:
        """Whether the layer has the outputs that were sampled."""
        return self.shape == _shape(layer) and self.positions == layer.positions


def _measured(
    network: nn.Module, weights: Iterable[nn.Parameter], batches: Batches, runs: Sequence[Any]
) -> dict[nn.Parameter, list[Target]]:
    """Weight → a target in each run, in the order in which they can be reconstructed.

    Only weights that every run uses once. Batches that are one run pass one by one all the same,
    which needs less memory and so less time, if every layer's items are the batch's.
    """
    if len(runs) < len(batches):
        by_batch = _sampled(network, weights, [batch.inputs for batch in batches])
        images = [batch.images for batch in batches]
        if all(_can_be_joined(own, images) for own in by_batch.values()):
            return {weight: [reduce(_joined, own)] for weight, own in by_batch.items()}
    return _sampled(network, weights, runs)


def _can_be_joined(targets: Sequence[Target], images: Sequence[int]) -> bool:
    """Whether the items of each target are the images of its batch, and all else is the same."""
    kinds = {(target.shape[1:], target.positions, target.summed) for target in targets}
    return [target.shape[0] for target in targets] == list(images) and len(kinds) == 1


def _joined(first: Target, second: Target) -> Target:
    """The target in a batch of the items of both."""
    items, further = first.shape[0], second.at + first.shape[0] * math.prod(first.positions)
    return replace(
        first,
        shape=(items + second.shape[0], *first.shape[1:]),
        at=torch.cat([first.at, further]),
        rows=torch.cat([first.rows, second.rows]),
    )


def _sampled(
    network: nn.Module, weights: Iterable[nn.Parameter], runs: Sequence[Any]
) -> dict[nn.Parameter, list[Target]]:
    """Weight → a target in each run; only weights that every run uses once."""
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
        layer = call.layer(result)
        at = _drawn(layer, self._generator, self._runs).to(result.device)
        rows = _rows(call.flattened(result), at)
        target = Target(call.without_tensors(), _shape(layer), layer.positions, at, rows)
        self.targets.setdefault(call.weight, []).append(target)
        return target

    def added(self, trail: Target, total: Tensor) -> None:
        rows = _rows(trail.call.flattened(total), trail.at)
        own = self.targets.pop(trail.call.weight)
        self.targets[trail.call.weight] = [
            replace(target, rows=rows, summed=True) if target is trail else target for target in own
        ]


def _drawn(layer: Layer, generator: torch.Generator, runs: int) -> Tensor:
    """Output positions for one of ``runs`` runs, without replacement."""
    items, positions = len(layer.inputs), math.prod(layer.positions)
    count = max(SAMPLES * items, -(-EQUATIONS * layer.unknowns // runs))
    return torch.randperm(items * positions, generator=generator)[:count].sort().values


def _reconstructed(
    model: nn.Module,
    groups: Groups,
    measured: Mapping[str, Sequence[Target]],
    runs: Sequence[Any],
    selection: Selection,
) -> nn.Module:
    """The network cut to the selection, its weights then changed towards what was measured."""
    small = cut(model, groups, selection)
    weights = dict(small.named_parameters())
    losing = {m.parameter for group, _ in removed(groups, selection) for m in readers(group)}
    kept = kept_positions(groups, selection, named_tensors(model))
    targets = {
        weights[name]: [_narrowed(target, name, kept) for target in own]
        for name, own in measured.items()
        if name in losing
    }
    if targets:
        with torch.no_grad():
            _change_all(eval_copy(small), targets, runs)
    return small


def _narrowed(target: Target, name: str, kept: Mapping[Place, np.ndarray]) -> Target:
    """The target without the layer's removed output channels."""
    dim = int(target.call.transposed)
    if (name, dim) not in kept:
        return target
    index = torch.from_numpy(kept[name, dim]).to(target.rows.device)
    size = target.call.weight.shape[1] if dim else 0  # of each group of a transposed layer
    groups = target.rows.shape[1] // size if dim else 1
    rows = torch.cat([target.rows[:, index + q * size] for q in range(groups)], 1)
    return replace(target, rows=rows)


def _change_all(
    network: nn.Module, targets: Mapping[nn.Parameter, Sequence[Target]], runs: Sequence[Any]
) -> None:
    """Change the weights of an eval-mode network in place, in the order of ``targets``.

    A single run is passed through once for all weights; several all once for every weight.
    """
    if len(runs) == 1:
        with _TargetTracer({weight: own[0] for weight, own in targets.items()}, _change):
            forward(network, runs[0])
        return
    for weight, own in targets.items():
        systems: list[tuple[Layer, list[Equations]]] = []
        for target, inputs in zip(own, runs, strict=True):
            with _TargetTracer({weight: target}, partial(_keep, systems)):
                forward(network, inputs)
        if systems:
            _change(weight, systems[0][0], reduce(added, [equations for _, equations in systems]))


@dataclass(slots=True)
class Branch:
    """A call whose outputs go into a sum with the target; ``gain`` ``(O,)``: of a BatchNorm."""

    call: Call
    target: Target
    gain: Tensor | None = None

    @property
    def factor(self) -> Tensor:
        """``(O,)``: the factor between the layer's outputs and the sum."""
        return torch.ones_like(self.target.rows[0]) if self.gain is None else self.gain


class _TargetTracer(OutputTracer):
    """Passes each layer's equations to ``solve``.

    A layer that does not go into a sum is solved before it is called, so that it is called once.
    For one that does, the effect of its change is added to the sum.
    """

    def __init__(self, targets: Mapping[nn.Parameter, Target], solve: Solve) -> None:
        super().__init__(targets)
        self._targets = targets
        self._solve = solve

    def entered(self, call: Call) -> None:
        target = self._targets[call.weight]
        layer = call.layer_at(target.positions)
        if target.summed or not target.is_of(layer):
            return
        bias = call.arguments.get("bias")
        rows = target.rows if bias is None else target.rows - bias
        equations = normal_equations(layer, target.at, rows)
        self._solve(call.weight, layer, of_change(equations, layer))

    def used(self, call: Call, result: Tensor) -> Branch | None:
        target = self._targets[call.weight]
        if target.summed and target.is_of(call.layer(result)):
            return Branch(call.with_input_copied(), target)
        return None

    def normalised(self, trail: Branch, arguments: Mapping[str, Any]) -> None:
        std = (arguments["running_var"] + arguments.get("eps", 1e-5)).sqrt()
        weight = arguments["weight"]
        trail.gain = std.reciprocal() if weight is None else weight / std

    def added(self, trail: Branch, total: Tensor) -> None:
        call, target, factor = trail.call, trail.target, trail.factor
        layer = call.layer(total)
        error = target.rows - _rows(call.flattened(total), target.at)
        # A branch that the BatchNorm nearly silences would need huge weights to have an effect.
        effective = factor.abs() > 1e-3 * factor.abs().max()
        wanted = torch.where(effective, error / factor, 0)
        change = self._solve(call.weight, layer, normal_equations(layer, target.at, wanted))
        if change is not None:
            total.addcmul_(call.along_outputs(factor), call.outputs_with(change))


def _keep(
    systems: list[tuple[Layer, list[Equations]]],
    weight: nn.Parameter,  # noqa: ARG001
    layer: Layer,
    equations: list[Equations],
) -> None:
    systems.append((layer, equations))


def _change(weight: nn.Parameter, layer: Layer, equations: Sequence[Equations]) -> Tensor | None:
    """What was added to the weight; None where that would not be finite."""
    change = weight_change(equations, layer)
    if not change.isfinite().all():
        return None
    change = change.reshape(weight.shape).to(weight.dtype)
    weight.add_(change)
    return change


def _shape(layer: Layer) -> tuple[int, ...]:
    return (len(layer.inputs), *layer.inputs.shape[2:])


def _rows(outputs: Tensor, at: Tensor) -> Tensor:
    """``(B, O, positions)`` → ``(n, O)``."""
    positions = outputs.shape[2]
    return outputs[at // positions, :, at % positions]
