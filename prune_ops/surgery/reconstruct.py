"""reconstruct: layers that lost inputs get the weights that bring their outputs back best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops.batches import Batch, together
from prune_ops.contributions import TRANSPOSED, Layer
from prune_ops.following import Call, Followed
from prune_ops.mending import End, mend, rows_of
from prune_ops.running import ran
from prune_ops.surgery.protocol import readers, removed, watched
from spaces.groups import ChannelGroup
from spaces.labels import Place
from spaces.slicing import Selection, cut, kept_positions

SAMPLES = 10
"""Positions of each image, as in the paper; more if there are few images."""
EQUATIONS = 10
"""At least so many sampled positions an unknown, where a layer has them."""


class Reconstruct:
    """Each reader of removed channels gets the weights W′ of min ‖Y − X W′‖² over sampled outputs.

    Layer after layer in the order in which the network uses them: X is what the layer reads in the
    pruned network, those before it reconstructed already, and Y what it gave in ``model``. Where
    its output goes into a sum, directly or through a BatchNorm, it is the sum that is brought back:
    the branch makes up for what the shortcut has lost, its target is Y₁ − Y₁′ + Y₂. Biases and
    normalisations stay. What is solved for is the change of W, the smallest one where the images
    leave a choice, so that no layer is further from its target than if it were cut plainly.

    A layer used twice is cut plainly. All calibration images go through the network as one batch;
    where they cannot (items of other shapes, inputs whose first dim is no batch), batch after
    batch, once for every layer.

    Definition: He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017:
    the reconstruction that follows the selection.
    """

    name = "reconstruct"
    needs_images = True

    def __call__(
        self,
        model: nn.Module,
        groups: tuple[ChannelGroup, ...],
        selection: Selection,
        batches: Sequence[Batch],
    ) -> nn.Module:
        small = cut(model, groups, selection)
        names = {m.parameter for group, _ in removed(groups, selection) for m in readers(group)}
        before, after = dict(model.named_parameters()), dict(small.named_parameters())
        runs = together(batches)
        with torch.no_grad():
            targets = _targets(watched(model), [before[name] for name in names], runs)
            keep = kept_positions(groups, selection, before | dict(model.named_buffers()))
            of = {before[name]: name for name in names}
            known = {
                after[of[weight]]: [_kept(end, of[weight], keep) for end in ends]
                for weight, ends in targets.items()
            }
            mend(watched(small), known, runs)
        return small


def _targets(
    network: nn.Module, weights: Sequence[nn.Parameter], runs: Sequence[Any]
) -> dict[nn.Parameter, list[End]]:
    """Weight → an end in each run, in the order in which they can be brought back.

    Only those that every run uses once.
    """
    generator = torch.Generator().manual_seed(0)
    found = [_Targets(weights, generator, len(runs)) for _ in runs]
    for targets, inputs in zip(found, runs, strict=True):
        with targets:
            ran(network, inputs)
    once = [w for w in found[0].ends if all(len(each.ends.get(w, [])) == 1 for each in found)]
    return {weight: [each.ends[weight][0] for each in found] for weight in once}


class _Targets(Followed):
    """``ends``: weight → one for each call, in the order in which the last of them is known.

    Args:
        runs: how many share the positions that are sampled.
    """

    def __init__(
        self, weights: Iterable[nn.Parameter], generator: torch.Generator, runs: int
    ) -> None:
        super().__init__(weights)
        self.ends: dict[nn.Parameter, list[End]] = {}
        self._generator = generator
        self._runs = runs

    def used(self, call: Call, result: Tensor) -> End:
        at = _drawn(call.layer(result), self._generator, self._runs).to(result.device)
        end = End(call, at, rows_of(call.listed(result), at))
        self.ends.setdefault(call.weight, []).append(end)
        return end

    def added(self, trail: End, total: Tensor) -> None:
        trail.rows, trail.summed = rows_of(trail.call.listed(total), trail.at), True
        self.ends[trail.call.weight] = self.ends.pop(trail.call.weight)


def _drawn(layer: Layer, generator: torch.Generator, runs: int) -> Tensor:
    """Output positions of one of so many runs, no one twice."""
    items, positions = len(layer.inputs), math.prod(layer.positions)
    unknowns = layer.inputs.shape[1] // layer.groups * math.prod(layer.weight.shape[2:])
    count = max(SAMPLES * items, -(-EQUATIONS * unknowns // runs))
    return torch.randperm(items * positions, generator=generator)[:count].sort().values


def _kept(end: End, name: str, keep: Mapping[Place, np.ndarray]) -> End:
    """The end of the same layer without the output channels that it loses."""
    dim = int(end.call.func in TRANSPOSED)
    if (name, dim) in keep:
        kept = torch.from_numpy(keep[name, dim]).to(end.rows.device)
        each = end.call.weight.shape[1] if dim else 0  # in each group of a transposed layer
        groups = end.rows.shape[1] // each if dim else 1
        end.rows = torch.cat([end.rows[:, kept + q * each] for q in range(groups)], 1)
    return end
