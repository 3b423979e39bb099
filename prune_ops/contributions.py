"""Each channel's contribution to sampled outputs of the layers that read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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


@dataclass(frozen=True, slots=True)
class Sample:
    """``n`` outputs of a layer: item, channel ``(n,)``, and position, one ``(n,)`` per dim."""

    item: Tensor
    channel: Tensor
    position: tuple[Tensor, ...]


class LayerTracer(TorchFunctionMode):
    """While entered, passes every use of the given parameters as a layer's weight to ``callback``.

    It intercepts functional calls, so that shared weights and functional layers are seen too.
    """

    def __init__(
        self, weights: Iterable[nn.Parameter], callback: Callable[[nn.Parameter, Layer], None]
    ) -> None:
        super().__init__()
        self._ids = {id(weight) for weight in weights}
        self._callback = callback

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute as usual, and report."""
        result = func(*args, **(kwargs or {}))
        if func in SIGNATURES:
            arguments = dict(zip(SIGNATURES[func], args, strict=False)) | (kwargs or {})
            if id(arguments["weight"]) in self._ids:
                self._callback(arguments["weight"], layer_of(func, arguments, result))
        return result


def reads(
    groups: Iterable[ChannelGroup], parameters: Mapping[str, nn.Parameter]
) -> dict[nn.Parameter, list[tuple[ChannelGroup, Member]]]:
    """Weight → the groups that it reads, and where."""
    found: dict[nn.Parameter, list[tuple[ChannelGroup, Member]]] = {}
    for group in groups:
        for member in weights(group, parameters, {"in"}):
            found.setdefault(parameters[member.parameter], []).append((group, member))
    return found


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
    """The contribution of each position of the weight's input dim to each sampled output.

    ``(n, I/groups)``; transposed ``(n, I)``. Rows sum to the output without its bias. In a grouped
    layer position ``i`` is channel ``i`` of the sampled output's own group.
    """
    own = sample.channel // (layer.outputs // layer.groups)
    size = layer.inputs.shape[1] // layer.groups
    channels = own[:, None] * size + torch.arange(size, device=own.device)
    inputs = patches(layer, sample.item, sample.position, channels)
    sums = (inputs * _filters(layer, sample.channel, channels)).sum(2)
    if not layer.transposed:
        return sums
    return sums.new_zeros(len(sums), layer.inputs.shape[1]).scatter(1, channels, sums)


def patches(layer: Layer, item: Tensor, position: tuple[Tensor, ...], channels: Tensor) -> Tensor:
    """The inputs under the kernel at output positions, 0 in the padding: ``(n, size, kernel)``.

    Input ``channels`` are ``(n, size)``, ``item`` and ``position`` as in a `Sample`.
    """
    source, valid = _sources(layer, position)
    return layer.inputs.flatten(2)[item[:, None, None], channels[..., None], source] * valid


def by_channel(member: Member, inputs: Tensor) -> Tensor:
    """``(n, positions)`` of a weight's input dim → ``(n, channels)`` of the group."""
    index = torch.as_tensor(member.index, device=inputs.device)
    return inputs[:, index].sum(2)


def _filters(layer: Layer, outputs: Tensor, channels: Tensor) -> Tensor:
    """The weights between ``channels`` ``(n, size)`` and ``outputs`` ``(n,)``: (n, size, kernel)"""
    weight = layer.weight.flatten(2)
    if layer.transposed:
        return weight[channels, (outputs % (layer.outputs // layer.groups))[:, None]]
    return weight[outputs]


def _sources(layer: Layer, position: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
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


def layer_of(func: Any, arguments: Mapping[str, Any], result: Tensor) -> Layer:
    """The `Layer` of a call of ``func`` with these arguments by name."""
    inputs, weight = arguments["input"].detach(), arguments["weight"].detach()
    if func is F.linear:
        inputs = inputs.reshape(len(inputs) if inputs.ndim > 1 else 1, -1, inputs.shape[-1])
        inputs = inputs.transpose(1, 2)
        return Layer(inputs, weight[..., None], len(weight), inputs.shape[2:], (1,), (0,), (1,))
    dims = weight.ndim - 2
    if inputs.ndim == dims + 1:
        inputs, result = inputs[None], result[None]
    dilation = _per_dim(arguments.get("dilation", 1), dims)
    padding = arguments.get("padding", 0)
    if isinstance(padding, str):
        totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        padding = [total // 2 if padding == "same" else 0 for total in totals]
    return Layer(
        inputs,
        weight,
        result.shape[1],
        tuple(result.shape[2:]),
        _per_dim(arguments.get("stride", 1), dims),
        _per_dim(padding, dims),
        dilation,
        arguments.get("groups", 1),
        func in TRANSPOSED,
    )


def _per_dim(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values


TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_COMMON = ("input", "weight", "bias", "stride", "padding")
SIGNATURES: dict[Any, tuple[str, ...]] = {
    F.linear: _COMMON[:3],
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), (*_COMMON, "dilation", "groups")),
    **dict.fromkeys(TRANSPOSED, (*_COMMON, "output_padding", "groups", "dilation")),
}
"""Function → the names of its arguments, in order."""
