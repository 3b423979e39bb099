"""What every channel adds to sampled outputs of the layers that read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from spaces.groups import Member

SAMPLES = 10
"""Outputs sampled of each image and layer, as in the paper of ThiNet."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One use of a convolution, in one to three spatial dims; a linear layer is one of size 1.

    Attributes:
        inputs: ``(B, I, *spatial)``.
        weight: ``(O, I/groups, *kernel)``, transposed ``(I, O/groups, *kernel)``.
        outputs: how many channels come out.
        positions: spatial shape of what comes out.
        stride, padding, dilation: one number a spatial dim.
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
    """So many outputs of a layer, each an item of the batch, an output channel and a position.

    Attributes:
        item, channel: ``(n,)``.
        position: one ``(n,)`` a spatial dim.
    """

    item: Tensor
    channel: Tensor
    position: tuple[Tensor, ...]


class Readers(TorchFunctionMode):
    """While entered, hands every use of the given parameters as a layer's weight to ``found``.

    It is where the layers compute that is watched, so that a module used twice, a weight shared by
    two modules and a functional call are seen all the same.
    """

    def __init__(
        self, weights: Iterable[nn.Parameter], found: Callable[[nn.Parameter, Layer], None]
    ) -> None:
        super().__init__()
        self._ids = {id(weight) for weight in weights}
        self._found = found

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute as ever, and look on."""
        result = func(*args, **(kwargs or {}))
        if func in SIGNATURES:
            given = dict(zip(SIGNATURES[func], args, strict=False)) | (kwargs or {})
            if id(given["weight"]) in self._ids:
                self._found(given["weight"], layer_of(func, given, result))
        return result


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
    """What each position of the weight's input dim adds to each sampled output, bias left out.

    ``(n, I/groups)``; transposed ``(n, I)``. Rows add up to the output less its bias. In a grouped
    layer position ``i`` stands for channel ``i`` of the sampled output's own group.
    """
    own = sample.channel // (layer.outputs // layer.groups)
    size = layer.inputs.shape[1] // layer.groups
    channels = own[:, None] * size + torch.arange(size, device=own.device)
    met = patches(layer, sample.item, sample.position, channels)
    sums = (met * _filters(layer, sample.channel, channels)).sum(2)
    if not layer.transposed:
        return sums
    return sums.new_zeros(len(sums), layer.inputs.shape[1]).scatter(1, channels, sums)


def patches(layer: Layer, item: Tensor, position: tuple[Tensor, ...], channels: Tensor) -> Tensor:
    """The inputs that a kernel meets at output positions, 0 in the padding: ``(n, size, kernel)``.

    Args:
        item: ``(n,)``; ``position``: one ``(n,)`` a spatial dim.
        channels: ``(n, size)``, those of the input to look at.
    """
    where, there = _sources(layer, position)
    return layer.inputs.flatten(2)[item[:, None, None], channels[..., None], where] * there


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
    """The input positions that a kernel at each output position meets, and whether they exist.

    Both ``(n, 1, kernel)``, positions flat; those in the padding are 0 and do not exist.
    """
    where = torch.zeros_like(position[0])[:, None]
    there = torch.ones_like(where, dtype=torch.bool)
    kernel, size = layer.weight.shape[2:], layer.inputs.shape[2:]
    for dim, at in enumerate(position):
        reach = torch.arange(kernel[dim], device=at.device) * layer.dilation[dim]
        if layer.transposed:
            far = at[:, None] + layer.padding[dim] - reach
            source, meets = far // layer.stride[dim], far % layer.stride[dim] == 0
        else:
            source = at[:, None] * layer.stride[dim] - layer.padding[dim] + reach
            meets = torch.ones_like(source, dtype=torch.bool)
        meets = meets & (source >= 0) & (source < size[dim])
        where = (where[..., None] * size[dim] + source[:, None]).flatten(1)
        there = (there[..., None] & meets[:, None]).flatten(1)
    return (where * there)[:, None], there[:, None]


def layer_of(func: Any, given: Mapping[str, Any], result: Tensor) -> Layer:
    """The use of a weight that is a call of ``func`` with the ``given`` arguments by name."""
    inputs, weight = given["input"].detach(), given["weight"].detach()
    if func is F.linear:
        inputs = inputs.reshape(len(inputs) if inputs.ndim > 1 else 1, -1, inputs.shape[-1])
        inputs = inputs.transpose(1, 2)
        return Layer(inputs, weight[..., None], len(weight), inputs.shape[2:], (1,), (0,), (1,))
    dims = weight.ndim - 2
    if inputs.ndim == dims + 1:
        inputs, result = inputs[None], result[None]
    dilation = _each(given.get("dilation", 1), dims)
    padding = given.get("padding", 0)
    if isinstance(padding, str):
        ends = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        padding = [end // 2 if padding == "same" else 0 for end in ends]
    return Layer(
        inputs,
        weight,
        result.shape[1],
        tuple(result.shape[2:]),
        _each(given.get("stride", 1), dims),
        _each(padding, dims),
        dilation,
        given.get("groups", 1),
        func in TRANSPOSED,
    )


def _each(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values


_PLAIN = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_FIRST = ("input", "weight", "bias")
SIGNATURES: dict[Any, tuple[str, ...]] = {
    F.linear: _FIRST,
    **dict.fromkeys(_PLAIN, (*_FIRST, "stride", "padding", "dilation", "groups")),
    **dict.fromkeys(
        TRANSPOSED, (*_FIRST, "stride", "padding", "output_padding", "groups", "dilation")
    ),
}
"""Function → the names of its arguments, in their order."""
