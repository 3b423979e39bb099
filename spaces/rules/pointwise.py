"""Pointwise operations tie the channels that meet at one position."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from spaces.rules.table import rule
from spaces.walk import Walk, neutral


@rule("hardswish", "relu6", "hardtanh", "silu", "gelu", "selu", "celu", "elu", "mish", "softplus")
@rule("leaky_relu", "rrelu", "threshold", "hardshrink", "logsigmoid", "log_sigmoid", "where")
@rule("clamp", "softsign", "copy", "hardsigmoid", "masked_fill", "fill", "square", "rsub")
def pointwise(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Tensor:
    shape = walk.shape(node)
    sources = node.all_input_nodes
    labels = neutral(shape)
    for source in sources:
        if source not in walk.constants:
            labels = _meet(walk, labels, walk.label(source), shape)
    for source in sources:
        if source in walk.constants and isinstance(walk.constants[source], Tensor):
            _meet_constant(walk, labels, walk.constants[source])
    return labels


def _meet(walk: Walk, a: Tensor, b: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The labels of a pointwise operation between two tensors that broadcast to ``shape``."""
    a, b = (x.reshape((1,) * (len(shape) - x.dim()) + tuple(x.shape)) for x in (a, b))
    repeats_a = any(a.shape[d] == 1 < shape[d] for d in walk.labels.varying(b))
    repeats_b = any(b.shape[d] == 1 < shape[d] for d in walk.labels.varying(a))
    for one, repeats in ((a, repeats_a), (b, repeats_b)):
        if repeats:
            walk.labels.freeze(one, "one channel meets many (broadcast over channels)")
    if repeats_a and repeats_b:
        return walk.labels.fixed("outer product of two channel dims").expand(shape)
    if repeats_a or repeats_b:
        return (b if repeats_a else a).expand(shape)
    walk.labels.tie(a, b)
    if bool((a == 0).all()) or bool((b == 0).all()):  # keeps stride 0 where one is neutral
        return (b if bool((a == 0).all()) else a).expand(shape)
    return _larger(a, b).expand(shape)


def _larger(a: Tensor, b: Tensor) -> Tensor:
    """Elementwise maximum (a label wins over NEUTRAL), repeated dims still stored once."""
    a, b = torch.broadcast_tensors(a, b)
    shape = a.shape
    for dim in range(a.dim()):
        if a.stride(dim) == 0 and b.stride(dim) == 0 and a.shape[dim] > 1:
            a, b = a.narrow(dim, 0, 1), b.narrow(dim, 0, 1)
    return torch.maximum(a, b).expand(shape)


def _meet_constant(walk: Walk, labels: Tensor, constant: Tensor) -> None:
    """A constant as long as the channels are many cannot follow their width."""
    lead = labels.dim() - constant.dim()
    if any(d >= lead and constant.shape[d - lead] > 1 for d in walk.labels.varying(labels)):
        walk.labels.freeze(labels, "meets a constant whose size is fixed in the code")


@rule("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like")
def _like(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Tensor:
    return neutral(walk.shape(node))


@rule("new_zeros", "new_ones", "new_full", "new_empty")
def _new(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Tensor:
    fixed = walk.labels.fixed("meets a constant whose size is fixed in the code")
    return (
        neutral(walk.shape(node)) if prod(walk.shape(node)) == 1 else fixed.expand(walk.shape(node))
    )
