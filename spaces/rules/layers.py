"""Layers with weights take labels on their input dim and make new ones on their output dim."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, fx

from spaces.labels import Kind
from spaces.nodes import operation
from spaces.rules.table import rule
from spaces.walk import Walk

COMPUTED = "its weight is computed from others (a parametrization?)"


def _computed(walk: Walk, node: fx.Node, args: dict[str, Any], positions: int, out: int) -> Any:
    """A layer whose weight is no parameter is counted whole and stays whole."""
    walk.cost(node, positions * prod(walk.shape(args["weight"])))
    walk.hold(node, walk.shape(node)[out], walk.because(node, COMPUTED))
    return walk.freeze_all(node, f"meets a layer that stays whole: {COMPUTED}")


def attach(walk: Walk, node: Any, labels: Tensor, kind: Kind) -> None:
    """Tie a 1-d parameter (bias, BatchNorm statistics, …), where there is one, to its channels.

    One that is computed, from other parameters say, is tied by its own labels.
    """
    if node is None:
        return
    weight = walk.weights.get(node)
    if weight is not None and weight.dims == tuple(range(len(weight.dims))):
        walk.labels.tie(walk.axis(weight.parameter, 0, kind), labels)
    elif node in walk.constants:
        walk.labels.freeze(labels, walk.because(node, "meets a bias or statistic of a fixed size"))
    else:
        walk.labels.tie(walk.label(node), labels)


@rule("linear")
def _linear(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    shape, weight = walk.shape(node), walk.weights.get(args["weight"])
    if weight is None:
        return _computed(walk, node, args, prod(shape[:-1]), -1)
    if len(weight.dims) != 2:
        raise ValueError("a weight of one dim")
    walk.reads(node, args["weight"], 1, walk.along(node, walk.label(args["input"]), -1))
    walk.cost(node, prod(shape[:-1]), weight.parameter)
    out = walk.writes(args["weight"], 0)
    attach(walk, args["bias"], out, "out")
    return out.expand(shape)


@rule("conv1d", "conv2d", "conv3d", "convolution", "_convolution")
@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    source, shape = walk.label(args["input"]), walk.shape(node)
    transposed = args.get("transposed", "transpose" in operation(node))
    space = len(walk.shape(args["weight"])) - 2
    channels = source.dim() - space - 1  # 0 where there is no batch
    positions = prod(shape[:channels]) * prod((source.shape if transposed else shape)[-space:])
    weight = walk.weights.get(args["weight"])
    if weight is None:
        return _computed(walk, node, args, positions, channels)
    line, groups = walk.along(node, source, channels), args["groups"]
    channels_out = _transposed_conv if transposed else _plain_conv
    out = channels_out(walk, node, args["weight"], line, groups, shape[channels])
    attach(walk, args["bias"], out, "out")
    walk.cost(node, positions, weight.parameter)
    return out.view(-1, *(1 for _ in range(space))).expand(shape)


def _plain_conv(
    walk: Walk, node: fx.Node, weight: fx.Node, line: Tensor, groups: int, outputs: int
) -> Tensor:
    """Weight of shape (O, I/groups, …). Grouped: every group loses the same positions."""
    out = walk.writes(weight, 0)
    if groups == len(line) > 1:
        walk.labels.tie(out, line.repeat_interleave(outputs // groups))
        return out
    _tie_groups(walk, line, groups)
    walk.reads(node, weight, 1, line[: len(line) // groups])
    _tie_groups(walk, out, groups)
    return out


def _transposed_conv(
    walk: Walk, node: fx.Node, weight: fx.Node, line: Tensor, groups: int, outputs: int
) -> Tensor:
    """Weight of shape (I, O/groups, …)."""
    if groups == len(line) > 1:
        walk.labels.tie(walk.writes(weight, 0), line)
        return line.repeat_interleave(outputs // groups)
    walk.reads(node, weight, 0, line)
    _tie_groups(walk, line, groups)
    return walk.writes(weight, 1).repeat(groups)


def _tie_groups(walk: Walk, line: Tensor, groups: int) -> None:
    if groups > 1:
        parts = line.view(groups, -1)
        walk.labels.tie(parts, parts[:1])


@rule("embedding")
def _embedding(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    if walk.weights.get(args["weight"]) is None:
        raise ValueError(COMPUTED)
    return walk.writes(args["weight"], 1).expand(walk.shape(node))


@rule("prelu")
def _prelu(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    labels, weight = walk.label(node.args[0]), args["weight"]
    if prod(walk.shape(weight)) > 1:
        attach(walk, weight, walk.along(node, labels, 1), "scale")
    return labels


@rule("batch_norm", "instance_norm")
def _batch_norm(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    labels = walk.label(args["input"])
    line = walk.along(node, labels, 1)
    for part in ("weight", "bias", "running_mean", "running_var"):
        attach(walk, args[part], line, "norm")
    return labels


@rule("layer_norm", "rms_norm")
def _layer_norm(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    labels = walk.label(args["input"])
    if len(args["normalized_shape"]) != 1:
        raise ValueError("normalises over several dims")
    line = walk.along(node, labels, -1)
    for part in ("weight", "bias"):
        attach(walk, args.get(part), line, "norm")
    walk.statistic(node, labels.dim() - 1, line)
    return labels


@rule("group_norm")
def _group_norm(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    labels = walk.label(args["input"])
    line = walk.along(node, labels, 1)
    _tie_groups(walk, line, args["num_groups"])
    for part in ("weight", "bias"):
        attach(walk, args[part], line, "norm")
    walk.statistic(node, 1, line)
    return labels


@rule("deform_conv2d")
def _deform_conv(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    """torchvision's: a convolution at positions that are computed."""
    count, _, *space = walk.shape(node)
    return whole(walk, node, count * prod(space), [args["weight"]], channels=1)


@rule("bilinear")
def _bilinear(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    """x·W_o·y for every output o."""
    return whole(walk, node, prod(walk.shape(node)[:-1]), [args["weight"]])


def whole(walk: Walk, node: fx.Node, positions: int, weights: list[Any], channels: int = -1) -> Any:
    """A layer that uses all of its weights at every position, and of which nothing is pruned."""
    name = operation(node)
    for weight in weights:
        walk.cost(node, positions * prod(walk.shape(weight)))
    walk.hold(node, walk.shape(node)[channels], walk.because(node, f"{name} stays whole"))
    return walk.freeze_all(node, f"enters {name}, which stays whole")
