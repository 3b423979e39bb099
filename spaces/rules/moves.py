"""Operations that only move data run on the labels as they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from spaces.nodes import is_sized
from spaces.rules.table import rule
from spaces.walk import Walk, Weight


@rule("permute", "transpose", "t", "numpy_T", "swapaxes", "swapdims", "movedim", "mT")
@rule("moveaxis")
def _transpose(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    """Of a parameter a layer may still take it as its weight."""
    weight = walk.weights.get(args["self"])
    if weight is None:
        return _move(walk, node, args)
    sizes = torch.empty(*range(2, 2 + len(weight.dims)), device="meta")
    moved = node.target(sizes, *node.args[1:], **node.kwargs)  # type: ignore[operator]
    walk.weights[node] = Weight(weight.parameter, tuple(weight.dims[n - 2] for n in moved.shape))
    return None


@rule("squeeze", "unsqueeze", "expand", "slice", "select", "narrow", "unbind")
@rule("roll", "flip", "rot90", "pixel_shuffle", "pixel_unshuffle")
@rule("channel_shuffle", "native_channel_shuffle", "repeat", "repeat_interleave", "tile")
@rule("diagonal", "unfold", "tensor_split", "split_with_sizes", "broadcast_to", "narrow_copy")
@rule("atleast_1d", "atleast_2d", "atleast_3d")
def _move(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    if "self" not in args:  # repeats or a list of tensors, say
        raise ValueError("nothing that is moved")
    data, *rest = node.args
    rest, kwargs = fx.map_arg((rest, dict(node.kwargs)), lambda n: _number(walk, n))
    moved = node.target(walk.label(data), *rest, **kwargs)  # type: ignore[operator]
    return list(moved) if isinstance(moved, (list, tuple)) else moved


def _number(walk: Walk, node: fx.Node) -> Any:
    """An index or a size that is known."""
    if node not in walk.constants:
        raise ValueError("at positions that are computed")
    return walk.constants[node]


@rule("index", "index_select")
def _index(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    """Positions that are computed may be any, where no two of them are different channels."""
    labels = walk.label(node.args[0])
    dim = args.get("dim", 0) % max(labels.dim(), 1)
    indices = args["indices"] if "indices" in args else [None] * dim + [args["index"]]
    numbers = [
        None if index is None else _positions(walk, labels, place, index)
        for place, index in enumerate(indices)
    ]
    return labels[tuple(slice(None) if index is None else index for index in numbers)]


def _positions(walk: Walk, labels: Tensor, dim: int, index: fx.Node) -> Tensor:
    if index in walk.constants:
        number: Tensor = walk.constants[index]
        return number
    value = index.meta["val"]
    apart = dim in walk.labels.varying(labels) or walk.labels.varying(walk.label(index))
    if apart or value.dtype == torch.bool or not is_sized(index):
        raise ValueError("at positions that are computed")
    return torch.zeros(value.shape, dtype=torch.long)


@rule("index_add", "index_copy")
def _index_add(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    """Whatever the positions along a dim that is none of channels: the others meet."""
    labels, source, dim = walk.label(node.args[0]), walk.label(args["source"]), args["dim"]
    if {*walk.labels.varying(labels), *walk.labels.varying(source)} & {dim % labels.dim()}:
        raise ValueError("at positions among the channels")
    one, other = labels.narrow(dim, 0, 1), source.narrow(dim, 0, 1)
    walk.labels.tie(one, other)
    return torch.maximum(one, other).expand(labels.shape)


@rule("expand_as")
def _expand_as(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Tensor:
    return walk.label(node.args[0]).expand(walk.shape(node))


@rule("contiguous", "clone", "detach", "alias", "lift_fresh_copy", "to", "_to_copy", "type_as")
@rule("dropout", "feature_dropout", "alpha_dropout", "native_dropout", "bernoulli")
def _same(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    labels = walk.label(node.args[0])
    return tree_map(lambda _: labels, node.meta["val"])


@rule("view", "reshape", "_unsafe_view", "flatten", "ravel", "unflatten", "view_as", "reshape_as")
def _reshape(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    if "dtype" in args:
        raise ValueError("the same bytes as other numbers")
    before = walk.label(node.args[0])
    after = before.reshape(walk.shape(node))
    split = walk.labels.varying(after)
    if len(split) > len(walk.labels.varying(before)):
        # The channel dim was cut in several (heads, shuffle groups). The part follows the width
        # whose size is left open, by -1. Without one the graph does not say which; the largest does
        # in practice, and the self-check has the last word. Every part loses the same positions.
        largest = max(split, key=lambda dim: (after.shape[dim], dim))
        shrinks = next((dim for dim in _left_open(args) if dim in split), largest)
        for dim in split:
            if dim != shrinks:
                walk.labels.tie(after, after.narrow(dim, 0, 1))
    return after


def _left_open(args: dict[str, Any]) -> list[int]:
    """The dims whose size the user's code leaves to be worked out."""
    given = next((args[name] for name in ("size", "shape", "sizes") if name in args), ())
    return [args.get("dim", 0) + n for n, size in enumerate(given) if size == -1]


@rule("chunk", "split", "unsafe_chunk", "unsafe_split")
def _parts(walk: Walk, node: fx.Node, args: dict[str, Any]) -> list[Tensor]:
    labels, dim = walk.label(node.args[0]), args["dim"]
    parts = _move(walk, node, args)
    if dim % labels.dim() in walk.labels.varying(labels):
        for part in parts[1:]:
            if part.shape == parts[0].shape:
                walk.labels.tie(part, parts[0])
    return parts


@rule("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack")
@rule("row_stack")
def _cat(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    pieces = [walk.label(piece) for piece in args["tensors"]]
    return node.target(pieces, *node.args[1:], **node.kwargs)  # type: ignore[operator]


@rule("glu")
def _glu(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    a, b = walk.label(node.args[0]).chunk(2, args["dim"])
    walk.labels.tie(a, b)
    return a


@rule("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d", "reflection_pad1d")
@rule("replication_pad1d", "replication_pad3d")
def _pad(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    """Padding beside the channels repeats their label; padding among them brings fixed zeros."""
    labels = walk.label(node.args[0])
    amounts = args["pad"] if "pad" in args else args["padding"]
    channels = walk.labels.varying(labels)
    reason = "meets the zeros of a pad whose amount is fixed in the code"
    zeros = walk.labels.fixed(walk.because(node, reason))
    for k in range(len(amounts) // 2):
        low, high = amounts[2 * k], amounts[2 * k + 1]
        dim = labels.dim() - 1 - k
        if dim in channels:
            labels = nn.functional.pad(labels, [0, 0] * k + [low, high], value=int(zeros))
        else:
            shape = list(labels.shape)
            shape[dim] += low + high
            labels = labels.narrow(dim, 0, 1).expand(shape)
    return labels
