"""reconstruct: layers that lost inputs get the weights that bring their outputs back best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops.contributions import TRANSPOSED, Layer, patches
from prune_ops.following import Call, Followed
from prune_ops.surgery.protocol import Batch, least_squares, readers, removed, watched
from spaces.groups import ChannelGroup
from spaces.labels import Place
from spaces.slicing import Selection, cut, kept_positions

SAMPLES = 10
"""Positions of each image, as in the paper; more if there are few images."""
EQUATIONS = 10
"""At least so many sampled positions an unknown, where a layer has them."""
CHUNK = 4096
"""Positions looked at at once."""


class Reconstruct:
    """Each reader of removed channels gets the weights W′ of min ‖Y − X W′‖² over sampled outputs.

    Layer after layer in the order in which the network uses them: X is what the layer reads in the
    pruned network, those before it reconstructed already, and Y what it gave in ``model``. Where
    its output goes into a sum, directly or through a BatchNorm, it is the sum that is brought back:
    the branch makes up for what the shortcut has lost, its target is Y₁ − Y₁′ + Y₂. Biases and
    normalisations stay. What is solved for is the change of W, the smallest one where the images
    leave a choice, so that no layer is further from its target than if it were cut plainly.

    A layer used twice is cut plainly. All calibration images go through the network as one batch.

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
        images = torch.cat([images for images, _ in batches])
        with torch.no_grad(), _Targets(before[name] for name in names) as targets:
            watched(model)(images)
        tensors = before | dict(model.named_buffers())
        keep = kept_positions(groups, selection, tensors)
        known = {
            after[name]: _kept(ends[0], name, keep)
            for name in names
            if len(ends := targets.ends.get(before[name], [])) == 1
        }
        with torch.no_grad(), _Solving(known):
            watched(small)(images)
        return small


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


class _Targets(Followed):
    """``ends``: weight → one for each call."""

    def __init__(self, weights: Any) -> None:
        super().__init__(weights)
        self.ends: dict[nn.Parameter, list[End]] = {}
        self._generator = torch.Generator().manual_seed(0)

    def used(self, call: Call, result: Tensor) -> End:
        at = _drawn(call.layer(result), self._generator).to(result.device)
        end = End(call, at, _rows(call.listed(result), at))
        self.ends.setdefault(call.weight, []).append(end)
        return end

    def added(self, trail: End, total: Tensor) -> None:
        trail.rows, trail.summed = _rows(trail.call.listed(total), trail.at), True


class _Solving(Followed):
    """Changes each weight, and the outputs that the network goes on with, when its end is known."""

    def __init__(self, targets: Mapping[nn.Parameter, End]) -> None:
        super().__init__(targets)
        self._targets = targets

    def used(self, call: Call, result: Tensor) -> End | None:
        target = self._targets[call.weight]
        now = End(call.kept() if target.summed else call, target.at, target.rows)
        if target.summed:
            return now
        self._solve(now, result)
        return None

    def normalised(self, trail: End, given: Mapping[str, Any]) -> None:
        spread = (given["running_var"] + given.get("eps", 1e-5)).sqrt()
        trail.gain = spread.reciprocal() if given["weight"] is None else given["weight"] / spread

    def added(self, trail: End, total: Tensor) -> None:
        self._solve(trail, total)

    def _solve(self, end: End, outputs: Tensor) -> None:
        call, layer = end.call, end.call.layer(outputs)
        error = end.rows - _rows(call.listed(outputs), end.at)
        gain = torch.ones_like(error[0]) if end.gain is None else end.gain
        # A branch that the BatchNorm all but silences would need huge weights to be heard.
        heard = gain.abs() > 1e-3 * gain.abs().max()
        change = _change(layer, end.at, torch.where(heard, error / gain, 0))
        if change.isfinite().all():
            change = change.reshape(call.weight.shape).to(call.weight.dtype)
            call.weight.add_(change)
            outputs += call.along_outputs(gain) * call.of(change)


def _drawn(layer: Layer, generator: torch.Generator) -> Tensor:
    """Output positions, no one twice."""
    items, positions = len(layer.inputs), math.prod(layer.positions)
    unknowns = layer.inputs.shape[1] // layer.groups * math.prod(layer.weight.shape[2:])
    count = max(SAMPLES * items, EQUATIONS * unknowns)
    return torch.randperm(items * positions, generator=generator)[:count].sort().values


def _rows(outputs: Tensor, at: Tensor) -> Tensor:
    """``(B, O, positions)`` → ``(n, O)``."""
    positions = outputs.shape[2]
    return outputs[at // positions, :, at % positions]


def _kept(end: End, name: str, keep: Mapping[Place, np.ndarray]) -> End:
    """The end of the same layer without the output channels that it loses."""
    dim = int(end.call.func in TRANSPOSED)
    if (name, dim) in keep:
        kept = torch.from_numpy(keep[name, dim]).to(end.rows.device)
        each = end.call.weight.shape[1] if dim else 0  # in each group of a transposed layer
        groups = end.rows.shape[1] // each if dim else 1
        end.rows = torch.cat([end.rows[:, kept + q * each] for q in range(groups)], 1)
    return end


def _change(layer: Layer, at: Tensor, error: Tensor) -> Tensor:
    """The least change of the weight, of its shape, that takes most of the ``(n, O)`` error."""
    changes = []
    for q, wanted in enumerate(error.double().chunk(layer.groups, 1)):
        size = layer.inputs.shape[1] // layer.groups * math.prod(layer.weight.shape[2:])
        normal, right = wanted.new_zeros(size, size), wanted.new_zeros(size, wanted.shape[1])
        for some, rows in zip(at.split(CHUNK), wanted.split(CHUNK), strict=True):
            x = _met(layer, some, q)
            normal.addmm_(x.T, x)
            right.addmm_(x.T, rows)
        solved = least_squares(normal, right)
        changes.append(solved.T.reshape(wanted.shape[1], -1, *layer.weight.shape[2:]))
    if layer.transposed:
        return torch.cat([change.transpose(0, 1) for change in changes])
    return torch.cat(changes)


def _met(layer: Layer, at: Tensor, group: int) -> Tensor:
    """What the kernels of a group meet at those positions: ``(n, I/groups x kernel)`` float64."""
    size, positions = layer.inputs.shape[1] // layer.groups, math.prod(layer.positions)
    channels = torch.arange(group * size, (group + 1) * size, device=at.device)
    where = torch.unravel_index(at % positions, layer.positions)
    met = patches(layer, at // positions, where, channels.expand(len(at), -1))
    return met.flatten(1).double()
