"""Pointwise operations tie the channels that meet at one position."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from spaces.labels import NEUTRAL, shrink
from spaces.rules.table import rule
from spaces.walk import CONSTANT, Walk, neutral


@rule("hardswish", "relu6", "hardtanh", "silu", "gelu", "selu", "celu", "elu", "mish", "softplus")
@rule("leaky_relu", "rrelu", "threshold", "hardshrink", "log_sigmoid", "where")
@rule("clamp", "copy", "hardsigmoid", "masked_fill", "fill", "square", "rsub", "clip")
@rule("multiply", "divide", "true_divide", "subtract", "absolute", "negative", "fix", "isfinite")
@rule("arcsin", "arccos", "arctan", "arcsinh", "arctanh", "greater", "less", "not_equal")
def pointwise(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Tensor:
    """What meets is tied, in the shapes that the operands have: each is stretched by the others."""
    if _is_mask(walk, node):
        return neutral(walk.shape(node))
    labels = neutral(())
    for source in node.all_input_nodes:
        if source not in walk.constants:
            labels = _meet(walk, node, labels, walk.label(source))
    labels = labels.expand(walk.shape(node))
    for source in node.all_input_nodes:
        if source in walk.constants:
            labels = meeting(walk, node, labels, source)
    return labels


def _is_mask(walk: Walk, node: fx.Node) -> bool:
    """Whether it compares a stored tensor with numbers: that is about positions, and stays."""
    stored = [source for source in node.all_input_nodes if source not in walk.constants]
    if node.meta["val"].dtype != torch.bool or not stored:
        return False
    if not all(walk.only_weights(source) for source in stored):
        return False
    for source in stored:
        walk.freeze(source, walk.because(node, "a mask is made of it"))
    return True


def meeting(walk: Walk, node: fx.Node, labels: Tensor, source: fx.Node) -> Tensor:
    """The labels of what meets an operand of the operation, if that is no larger."""
    constant = walk.constants.get(source)
    if source not in walk.constants:
        return _meet(walk, node, labels, walk.label(source)).expand(labels.shape)
    if isinstance(constant, Tensor):
        _meet_constant(walk, node, labels, constant)
    return labels


def _meet(walk: Walk, node: fx.Node, a: Tensor, b: Tensor) -> Tensor:
    """The labels of a pointwise operation between two tensors that broadcast."""
    shape = tuple(torch.broadcast_shapes(a.shape, b.shape))
    a, b = (x.reshape((1,) * (len(shape) - x.dim()) + tuple(x.shape)) for x in (a, b))
    repeats_a = any(a.shape[d] == 1 < shape[d] for d in walk.labels.varying(b))
    repeats_b = any(b.shape[d] == 1 < shape[d] for d in walk.labels.varying(a))
    for one, repeats in ((a, repeats_a), (b, repeats_b)):
        if repeats:
            reason = walk.because(node, "one channel meets many, broadcast over channels")
            walk.labels.freeze(one, reason)
    if repeats_a and repeats_b:
        reason = walk.because(node, "an outer product of two channel dims")
        return walk.labels.fixed(reason).expand(shape)
    if repeats_a or repeats_b:
        return (b if repeats_a else a).expand(shape)
    walk.labels.tie(a, b)
    for one, other in ((a, b), (b, a)):
        if bool((one == NEUTRAL).all()):  # what the other repeats is still stored once
            return other.expand(shape)
    small = shrink(*torch.broadcast_tensors(a, b))
    return torch.maximum(*small).expand(shape)  # a label wins over NEUTRAL


def _meet_constant(walk: Walk, node: fx.Node, labels: Tensor, constant: Tensor) -> None:
    """A constant as long as the channels are many cannot follow their width."""
    lead = labels.dim() - constant.dim()
    if any(d >= lead and constant.shape[d - lead] > 1 for d in walk.labels.varying(labels)):
        walk.labels.freeze(labels, walk.because(node, CONSTANT))


@rule("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like")
def _like(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Tensor:
    return neutral(walk.shape(node))


@rule("new_zeros", "new_ones", "new_full", "new_empty")
def _new(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Tensor:
    shape = walk.shape(node)
    fixed = walk.labels.fixed(walk.because(node, CONSTANT))
    return neutral(shape) if prod(shape) == 1 else fixed.expand(shape)
