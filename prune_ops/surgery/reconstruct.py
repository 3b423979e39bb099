"""reconstruct: layers that lost inputs get the weights that best restore their outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops.batches import concatenated
from prune_ops.contributions import TRANSPOSED, Layer
from prune_ops.output_tracer import Call, OutputTracer
from prune_ops.reconstruction import Target, reconstruct_weights, rows_of
from prune_ops.running import forward
from prune_ops.surgery.protocol import Batches, Groups, eval_copy, readers, removed
from spaces.labels import Place
from spaces.slicing import Selection, cut, kept_positions

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
        names = {m.parameter for group, _ in removed(groups, selection) for m in readers(group)}
        before, after = dict(model.named_parameters()), dict(small.named_parameters())
        runs = concatenated(batches)
        with torch.no_grad():
            by_weight = _targets(eval_copy(model), [before[name] for name in names], runs)
            kept = kept_positions(groups, selection, before | dict(model.named_buffers()))
            name_of = {before[name]: name for name in names}
            targets = {
                after[name_of[weight]]: [_narrowed(t, name_of[weight], kept) for t in own]
                for weight, own in by_weight.items()
            }
            reconstruct_weights(eval_copy(small), targets, runs)
        return small


def _targets(
    network: nn.Module, weights: Sequence[nn.Parameter], runs: Sequence[Any]
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

    Args:
        runs: the number of runs that share the sampled positions.
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
        target = Target(call, at, rows_of(call.flattened(result), at))
        self.targets.setdefault(call.weight, []).append(target)
        return target

    def added(self, trail: Target, total: Tensor) -> None:
        trail.rows, trail.summed = rows_of(trail.call.flattened(total), trail.at), True
        self.targets[trail.call.weight] = self.targets.pop(trail.call.weight)


def _drawn(layer: Layer, generator: torch.Generator, runs: int) -> Tensor:
    """Output positions for one of ``runs`` runs, without replacement."""
    items, positions = len(layer.inputs), math.prod(layer.positions)
    unknowns = layer.inputs.shape[1] // layer.groups * math.prod(layer.weight.shape[2:])
    count = max(SAMPLES * items, -(-EQUATIONS * unknowns // runs))
    return torch.randperm(items * positions, generator=generator)[:count].sort().values


def _narrowed(target: Target, name: str, kept: Mapping[Place, np.ndarray]) -> Target:
    """The target without the layer's removed output channels."""
    dim = int(target.call.func in TRANSPOSED)
    if (name, dim) in kept:
        index = torch.from_numpy(kept[name, dim]).to(target.rows.device)
        size = target.call.weight.shape[1] if dim else 0  # of each group of a transposed layer
        groups = target.rows.shape[1] // size if dim else 1
        target.rows = torch.cat([target.rows[:, index + q * size] for q in range(groups)], 1)
    return target
