"""Collectors of what the layers that read channels take, and of what their outputs are worth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prune_ops.collectors.collector import Collector, Subject
from prune_ops.contributions import Layer, contributions, patches, reads
from prune_ops.moments import InputMoments
from prune_ops.tracing import Call, OutputTracer
from spaces.groups import Groups

POSITIONS = 20
"""Output positions per image at which a layer's inputs are looked at, if it has as many."""
LARGEST = 4608
"""Inputs under one kernel up to which all their products are kept: 512 channels under 3×3. Of
layers that read more, only what whole channels contribute is."""


class Inputs(Collector):
    """``CalibrationStats.inputs``."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._reading = Reading(subject.model, subject.space.groups, subject.seed)

    def observing(self, images: int) -> AbstractContextManager[Any]:
        return self._reading.observing(images)

    def result(self) -> dict[str, InputMoments]:
        return self._reading.result()


class Reading:
    """Accumulates what the layers that read the groups take, while an eval-mode network runs."""

    def __init__(self, model: nn.Module, groups: Groups, seed: int = 0) -> None:
        self._model = model
        self._generator = torch.Generator().manual_seed(seed)
        self._names = _names(model)
        self._reads = reads(groups, dict(model.named_parameters(remove_duplicate=False)))
        self._moments: dict[nn.Parameter, InputMoments] = {}

    def observing(self, images: int) -> AbstractContextManager[Any]:
        """Entered for the forward pass of so many images."""
        return _Reads(self._reads, self, images)

    def add(self, call: Call, layer: Layer, images: int) -> InputMoments:
        """Add one use of a layer; all that is known of it."""
        moments = self._moments.setdefault(call.weight, InputMoments())
        moments.mean_at = self._names.get(id(call.arguments.get("bias")), moments.mean_at)
        if _inputs(layer) > LARGEST or (layer.transposed and layer.groups > 1):
            slices = self._reads[call.weight]
            parts = contributions(layer, [m for _, m in slices], images, self._generator)
            for (group, _), part in zip(slices, parts, strict=True):
                moments.add_contributions(group.name, part)
        else:
            seen = _seen(layer, self._generator)
            whole = layer.transposed or seen.shape[2] == math.prod(layer.positions)
            moments.add(*_by_image(seen, seen.mean(2) if whole else _means(layer), images))
        return moments

    def takes_mean(self, moments: InputMoments, running_mean: Tensor) -> None:
        """A BatchNorm with this running mean follows the layer."""
        moments.mean_at = self._names.get(id(running_mean), "")

    def result(self) -> dict[str, InputMoments]:
        """Name of the weight → what its layer reads."""
        named = self._model.named_parameters(remove_duplicate=False)
        return {name: self._moments[p] for name, p in named if p in self._moments}


class _Reads(OutputTracer):
    """Reports every use of a reader, and the BatchNorm that follows it directly."""

    def __init__(self, weights: Iterable[nn.Parameter], reading: Reading, images: int) -> None:
        super().__init__(weights)
        self._reading, self._images = reading, images

    def used(self, call: Call, result: Tensor) -> InputMoments:
        return self._reading.add(call, call.layer(result), self._images)

    def normalised(self, trail: InputMoments, arguments: Mapping[str, Any]) -> None:
        self._reading.takes_mean(trail, arguments["running_mean"])


def _names(model: nn.Module) -> dict[int, str]:
    """id → name of every parameter and buffer."""
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    return {id(tensor): name for name, tensor in tensors}


def _inputs(layer: Layer) -> int:
    return layer.inputs.shape[1] // layer.groups * math.prod(layer.weight.shape[2:])


def _seen(layer: Layer, generator: torch.Generator) -> Tensor:
    """``(groups, images, n, U)``: what kernels see at up to ``POSITIONS`` positions an image."""
    items, positions = len(layer.inputs), math.prod(layer.positions)
    each = min(positions, POSITIONS)
    at = torch.rand(items, positions, generator=generator).argsort(1)[:, :each].flatten()
    at = at.to(layer.inputs.device)
    item = torch.arange(items, device=at.device).repeat_interleave(each)
    position: Any = torch.unravel_index(at, layer.positions)
    channels = torch.arange(layer.inputs.shape[1], device=at.device).expand(len(at), -1)
    seen = patches(layer, item, position, channels)
    return seen.reshape(items, each, layer.groups, -1).movedim(2, 0)


def _by_image(seen: Tensor, means: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """The same where a layer's items are parts of images, windows or steps: those are positions."""
    groups, items, n, inputs = seen.shape
    parts = items // images if items % images == 0 else 1
    seen = seen.reshape(groups, items // parts, parts * n, inputs)
    return seen, means.reshape(groups, items // parts, parts, inputs).mean(2)


def _means(layer: Layer) -> Tensor:
    """``(groups, images, U)``: what kernels see, as the mean over all output positions."""
    kernel, dims = layer.weight.shape[2:], layer.inputs.ndim - 2
    reach = [
        (p - 1) * stride + (k - 1) * dilation + 1
        for p, stride, k, dilation in zip(
            layer.positions, layer.stride, kernel, layer.dilation, strict=True
        )
    ]
    pads = [
        (layer.padding[d], max(reach[d] - layer.inputs.shape[2 + d] - layer.padding[d], 0))
        for d in reversed(range(dims))
    ]
    padded = F.pad(layer.inputs, list(itertools.chain(*pads)))
    means = []
    for offset in itertools.product(*map(range, kernel)):
        steps = zip(offset, layer.dilation, layer.positions, layer.stride, strict=True)
        window = [slice(o * d, o * d + (p - 1) * s + 1, s) for o, d, p, s in steps]
        means.append(padded[(slice(None), slice(None), *window)].flatten(2).mean(2))
    by_channel = torch.stack(means, 2)
    return by_channel.reshape(len(by_channel), layer.groups, -1).transpose(0, 1)


class OutputFisher(Collector):
    """``CalibrationStats.output_fisher``, by gradient hooks on the outputs of the layers."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        named = dict(subject.model.named_parameters(remove_duplicate=False))
        self._weights = reads(subject.space.groups, named)
        self._squares: dict[nn.Parameter, Tensor] = {}
        self._images = 0

    def observing(self, images: int) -> AbstractContextManager[Any]:
        self._images += images

        def add(weight: nn.Parameter, gradient: Tensor) -> None:
            total = gradient.sum((0, 2))
            even = total.square() / (gradient.shape[0] * gradient.shape[2])
            squares = torch.stack([gradient.square().sum((0, 2)) - even, total.square()])
            known = self._squares.get(weight)
            self._squares[weight] = squares if known is None else known + squares

        return OutputGradients(self._weights, add)

    def result(self) -> dict[str, Tensor]:
        named = self.subject.model.named_parameters(remove_duplicate=False)
        squares = {name: self._squares[p] for name, p in named if p in self._squares}
        return {name: sums.clamp_min(0) / self._images for name, sums in squares.items()}


class OutputGradients(OutputTracer):
    """While entered, gives ``callback`` each layer's weight and the gradient by its outputs, once a
    backward pass knows it: ``(B, O, positions)`` float64."""

    def __init__(self, weights: Iterable[nn.Parameter], callback: Any) -> None:
        super().__init__(weights)
        self._callback = callback

    def used(self, call: Call, result: Tensor) -> None:
        def hook(gradient: Tensor) -> None:
            self._callback(call.weight, call.flattened(gradient).double())

        if result.requires_grad:
            result.register_hook(hook)
