"""Each channel's contribution to sampled outputs of the layers that read it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prune_ops.channels import weights
from spaces.groups import ChannelGroup, Member

SAMPLES = 10
"""Outputs sampled per image and layer, as in the paper of ThiNet."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One call of a convolution in one to three spatial dims; a linear layer has one, of kernel 1.

    Attributes:
        inputs: ``(B, I, *spatial)``.
        weight: ``(O, I/groups, *kernel)``, transposed ``(I, O/groups, *kernel)``.
        outputs, positions: number of output channels, and their spatial shape.
        stride, padding, dilation: one number per spatial dim.
    """

    inputs: Tensor
    weight: Tensor
    outputs: int
    positions: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    transposed: bool = False

    @property
    def unknowns(self) -> int:
        """The weights that one output channel has."""
        return self.inputs.shape[1] // self.groups * math.prod(self.weight.shape[2:])


@dataclass(frozen=True, slots=True)
class Sample:
    """``n`` outputs of a layer: item, channel ``(n,)``, and position, one ``(n,)`` per dim."""

    item: Tensor
    channel: Tensor
    position: tuple[Tensor, ...]


def reads(
    groups: Iterable[ChannelGroup], parameters: Mapping[str, nn.Parameter]
) -> dict[nn.Parameter, list[tuple[ChannelGroup, Member]]]:
    """Weight → the groups that it reads, and where."""
    found: dict[nn.Parameter, list[tuple[ChannelGroup, Member]]] = {}
    for group in groups:
        for member in weights(group, parameters, {"in"}):
            found.setdefault(parameters[member.parameter], []).append((group, member))
    return found


def contributions(
    layer: Layer, members: Iterable[Member], images: int, generator: torch.Generator
) -> list[Tensor]:
    """What channels add to ``SAMPLES`` outputs an image: ``(n, channels)`` float64 a member."""
    parts = by_input(layer, sampled(layer, SAMPLES * images, generator))
    indices = [torch.as_tensor(member.index, device=parts.device) for member in members]
    return [parts[:, index].sum(2).double() for index in indices]


def sampled(layer: Layer, count: int, generator: torch.Generator) -> Sample:
    """``count`` outputs drawn with replacement, spread evenly over the items of the batch."""

    def draw(size: int) -> Tensor:
        return torch.randint(size, (count,), generator=generator)

    items = len(layer.inputs)
    item = (torch.arange(count) * items + draw(items)) // count
    channel, position = draw(layer.outputs), tuple(draw(size) for size in layer.positions)
    device = layer.inputs.device
    return Sample(item.to(device), channel.to(device), tuple(p.to(device) for p in position))


def by_input(layer: Layer, sample: Sample) -> Tensor:
    """What each position of the weight's input dim adds to each sampled output.

    ``(n, I/groups)``, transposed ``(n, I)``: rows sum to the output without its bias. In a
    grouped layer position ``i`` is channel ``i`` of the sampled output's own group.
    """
    outputs = layer.outputs // layer.groups
    size = layer.inputs.shape[1] // layer.groups
    own = (sample.channel // outputs)[:, None]
    channels = own * size + torch.arange(size, device=own.device)
    inputs = patches(layer, sample.item, sample.position, channels)
    weight = layer.weight.flatten(2)
    if not layer.transposed:
        return (inputs * weight[sample.channel]).sum(2)
    sums = (inputs * weight[channels, (sample.channel % outputs)[:, None]]).sum(2)
    return sums.new_zeros(len(sums), layer.inputs.shape[1]).scatter(1, channels, sums)


def patches(layer: Layer, item: Tensor, position: tuple[Tensor, ...], channels: Tensor) -> Tensor:
    """The inputs under the kernel at outputs as in a `Sample`, 0 in the padding.

    ``(n, size, kernel)`` for input ``channels`` ``(n, size)``.
    """
    source, valid = _sources(layer, position)
    return layer.inputs.flatten(2)[item[:, None, None], channels[..., None], source] * valid


def kernel_inputs(layer: Layer, at: Tensor, group: int) -> Tensor:
    """The inputs of a group under the kernel at flat output positions, 0 in the padding.

    ``(n, kernel, I/groups)`` for ``at`` ``(n,)``: item x positions + position.
    """
    size, positions = layer.inputs.shape[1] // layer.groups, math.prod(layer.positions)
    source, valid = _sources(layer, torch.unravel_index(at % positions, layer.positions))
    pixels = layer.inputs.flatten(2)[:, group * size : (group + 1) * size].transpose(1, 2)
    return pixels[(at // positions)[:, None], source[:, 0]] * valid.transpose(1, 2)


def _sources(layer: Layer, position: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The flat input positions under the kernel at each output position, and which are valid.

    Both ``(n, 1, kernel)``; positions in the padding are 0 and not valid.
    """
    source = torch.zeros_like(position[0])[:, None]
    valid = torch.ones_like(source, dtype=torch.bool)
    kernel, size = layer.weight.shape[2:], layer.inputs.shape[2:]
    for dim, output in enumerate(position):
        offset = torch.arange(kernel[dim], device=output.device) * layer.dilation[dim]
        if layer.transposed:
            scaled = output[:, None] + layer.padding[dim] - offset
            along, hits = scaled // layer.stride[dim], scaled % layer.stride[dim] == 0
        else:
            along = output[:, None] * layer.stride[dim] - layer.padding[dim] + offset
            hits = torch.ones_like(along, dtype=torch.bool)
        hits = hits & (along >= 0) & (along < size[dim])
        source = (source[..., None] * size[dim] + along[:, None]).flatten(1)
        valid = (valid[..., None] & hits[:, None]).flatten(1)
    return (source * valid)[:, None], valid[:, None]
