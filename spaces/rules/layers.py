"""Layers with weights take labels on their input dim and make new ones on their output dim."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, fx

from spaces.labels import Kind
from spaces.rules.table import freeze_all, operation, rule
from spaces.walk import Walk

COMPUTED = "its weight is computed from others (a parametrization?)"


def _weight(walk: Walk, args: dict[str, Any]) -> str:
    name = walk.parameter(args["weight"])
    if name is None:
        raise ValueError(COMPUTED)
    return name


def _computed(walk: Walk, node: fx.Node, args: dict[str, Any], positions: int, out: int) -> Any:
    """A layer whose weight is no parameter is counted whole and stays whole."""
    walk.cost(node, positions * prod(walk.shape(args["weight"])))
    walk.hold(node, walk.shape(node)[out], COMPUTED)
    return freeze_all(walk, node, f"meets a layer that stays whole: {COMPUTED}")


def _attach(walk: Walk, node: Any, labels: Tensor, kind: Kind) -> None:
    """Tie a 1-d parameter (bias, BatchNorm statistics, …), where there is one, to its channels."""
    if node is None:
        return
    name = walk.parameter(node)
    if name is None:
        walk.labels.freeze(labels, "meets a bias or statistic that is computed")
    else:
        walk.labels.tie(walk.axis(name, 0, kind), labels)


@rule("linear")
def _linear(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    shape = walk.shape(node)
    if walk.parameter(args["weight"]) is None:
        return _computed(walk, node, args, prod(shape[:-1]), -1)
    weight = _weight(walk, args)
    line = walk.labels.along(walk.label(args["input"]), -1)
    walk.labels.tie(walk.axis(weight, 1, "in"), line)
    out = walk.axis(weight, 0, "out")
    _attach(walk, args["bias"], out, "out")
    walk.cost(node, prod(shape[:-1]), weight)
    return out.expand(shape)


@rule("conv1d", "conv2d", "conv3d", "convolution", "_convolution")
@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    source, shape = walk.label(args["input"]), walk.shape(node)
    transposed = args.get("transposed", "transpose" in operation(node))
    positions = shape[0] * prod((source.shape if transposed else shape)[2:])
    if walk.parameter(args["weight"]) is None:
        return _computed(walk, node, args, positions, 1)
    weight, groups = _weight(walk, args), args["groups"]
    line = walk.labels.along(source, 1)
    channels_out = _transposed_conv if transposed else _plain_conv
    out = channels_out(walk, weight, line, groups, shape[1])
    _attach(walk, args["bias"], out, "out")
    walk.cost(node, positions, weight)
    return out.view(-1, *(1 for _ in shape[2:])).expand(shape)


def _plain_conv(walk: Walk, weight: str, line: Tensor, groups: int, outputs: int) -> Tensor:
    """Weight of shape (O, I/groups, …). Grouped: every group loses the same positions."""
    out = walk.axis(weight, 0, "out")
    if groups == len(line) > 1:
        walk.labels.tie(out, line.repeat_interleave(outputs // groups))
        return out
    walk.labels.tie(walk.axis(weight, 1, "in"), line.view(groups, -1))
    _tie_groups(walk, out, groups)
    return out


def _transposed_conv(walk: Walk, weight: str, line: Tensor, groups: int, outputs: int) -> Tensor:
    """Weight of shape (I, O/groups, …)."""
    if groups == len(line) > 1:
        walk.labels.tie(walk.axis(weight, 0, "out"), line)
        return line.repeat_interleave(outputs // groups)
    rows = walk.axis(weight, 0, "in")
    walk.labels.tie(rows, line)
    _tie_groups(walk, rows, groups)
    return walk.axis(weight, 1, "out").repeat(groups)


def _tie_groups(walk: Walk, line: Tensor, groups: int) -> None:
    if groups > 1:
        parts = line.view(groups, -1)
        walk.labels.tie(parts, parts[:1])


@rule("embedding")
def _embedding(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    return walk.axis(_weight(walk, args), 1, "out").expand(walk.shape(node))


@rule("prelu")
def _prelu(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    labels, weight = walk.label(node.args[0]), _weight(walk, args)
    if walk.result.tensors[weight].numel() > 1:
        walk.labels.tie(walk.axis(weight, 0, "scale"), walk.labels.along(labels, 1))
    return labels


@rule("batch_norm", "instance_norm")
def _batch_norm(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    labels = walk.label(args["input"])
    line = walk.labels.along(labels, 1)
    for part in ("weight", "bias", "running_mean", "running_var"):
        _attach(walk, args[part], line, "norm")
    return labels


@rule("layer_norm", "rms_norm")
def _layer_norm(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    labels = walk.label(args["input"])
    if len(args["normalized_shape"]) != 1:
        raise ValueError("normalises over several dims")
    line = walk.labels.along(labels, -1)
    for part in ("weight", "bias"):
        _attach(walk, args.get(part), line, "norm")
    walk.statistic(node, labels.dim() - 1, line)
    return labels


@rule("group_norm")
def _group_norm(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    labels = walk.label(args["input"])
    line = walk.labels.along(labels, 1)
    _tie_groups(walk, line, args["num_groups"])
    for part in ("weight", "bias"):
        _attach(walk, args[part], line, "norm")
    walk.statistic(node, 1, line)
    return labels


@rule("lstm", "gru", "rnn_tanh", "rnn_relu")
def _recurrent(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    """Every weight matrix is used once at every step of the sequence; nothing is pruned."""
    steps = prod(walk.shape(args["input"])[:-1])
    matrices = [walk.shape(weight) for weight in args["params"] if len(walk.shape(weight)) == 2]
    for matrix in matrices:
        walk.cost(node, steps * prod(matrix))
    walk.hold(node, walk.shape(node)[-1], f"{operation(node)} stays whole")
    return freeze_all(walk, node, f"enters {operation(node)}, which stays whole")
