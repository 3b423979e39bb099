"""What each operation does to labels: a table from the operation's name to its rule.

What has no rule freezes what enters it and says its own name, so an unknown operation never stops a
search; what it costs is counted all the same, or it is named as uncounted.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx

from spaces.activations import ACTIVATIONS
from spaces.inputs import tensors
from spaces.nodes import operation, sizes, written
from spaces.rules import layers, moves, pointwise, products, recurrent, reductions
from spaces.rules.counting import count
from spaces.rules.table import RULES
from spaces.walk import Walk

__all__ = ["RULES", "apply", "layers", "moves", "pointwise", "products", "recurrent", "reductions"]


def apply(walk: Walk, node: fx.Node) -> None:
    """Give ``node`` its labels: by constant folding, by its rule, or by freezing what enters."""
    if node.target is operator.getitem:
        source, index = node.args
        table = walk.constants if source in walk.constants else walk.values
        value = table.get(source)  # type: ignore[arg-type]
        table[node] = None if value is None else value[index]
        return
    if not _fold(walk, node):
        _label(walk, node)
    if operation(node) in ACTIVATIONS:
        walk.activation(node, _function(node))


def _label(walk: Walk, node: fx.Node) -> None:
    if not tensors(node.meta.get("val")):
        walk.values[node] = None
        return
    labels = _labels(walk, node)
    if node not in walk.weights:
        walk.values[node] = labels
    if operation(node) != written(node):
        walk.values[node.args[0]] = labels  # type: ignore[index]


def _labels(walk: Walk, node: fx.Node) -> Any:
    name = operation(node)
    known = RULES.get(name)
    if known is None and torch.Tag.pointwise in getattr(node.target, "tags", ()):
        known = pointwise.pointwise
    if known is None:
        count(walk, node)
        return walk.freeze_all(node, "enters an operation without a rule")
    costs = len(walk.result.costs)
    try:
        value = known(walk, node, _arguments(node))
        if value is not None and not _fits(value, node.meta["val"]):
            raise ValueError("its outputs have other shapes")
    # A rule that fails on a form of its operation nobody has met must not stop the search:
    # freezing is always right.
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        del walk.result.costs[costs:]
        count(walk, node)
        line = str(error).partition("\n")[0]
        return walk.freeze_all(node, f"enters an operation in a form without a rule: {line}")
    return value


def _function(node: fx.Node) -> str:
    """The activation function's name; ReLU6 is traced as the hardtanh that it is."""
    name = operation(node)
    return "relu6" if name == "hardtanh" and _arguments(node)["min_val"] == 0 else name


def _fold(walk: Walk, node: fx.Node) -> bool:
    """Compute a node that depends on constants only; False when it does not, or cannot be."""
    if not all(source in walk.constants for source in node.all_input_nodes):
        return False
    args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), lambda n: walk.constants[n])
    kwargs = {key: torch.device("cpu") if key == "device" else v for key, v in kwargs.items()}
    try:
        with torch.random.fork_rng(devices=[]):
            walk.constants[node] = node.target(*args, **kwargs)  # type: ignore[operator]
    except Exception:  # an operation for another device, say: its numbers stay unknown
        return False
    return True


def _arguments(node: fx.Node) -> dict[str, Any]:
    """The node's arguments by the names of the operation's schema, defaults included."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    values = {a.name: a.default_value for a in schema if a.has_default_value()}
    values |= {a.name: value for a, value in zip(schema, node.args, strict=False)}
    return values | dict(node.kwargs)


def _fits(labels: Any, value: Any) -> bool:
    if isinstance(value, Tensor):
        return isinstance(labels, Tensor) and tuple(labels.shape) == sizes(value)
    return isinstance(labels, (list, tuple)) and all(
        a is None or tuple(a.shape) == sizes(b) for a, b in zip(labels, value, strict=True)
    )
