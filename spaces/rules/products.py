"""Products of activations are counted, and what enters them is frozen."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import fx

from spaces.rules.table import freeze_all, operation, rule
from spaces.walk import Walk


@rule("matmul", "bmm", "mm", "addmm", "baddbmm")
def _matmul(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    left = args.get("self") if operation(node) in ("matmul", "bmm", "mm") else node.args[1]
    walk.cost(node, prod(walk.shape(node)) * walk.shape(left)[-1])  # type: ignore[arg-type]
    return freeze_all(walk, node, f"enters {operation(node)}, a product of activations")


@rule("scaled_dot_product_attention")
def _attention(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    query, key, value = (walk.shape(args[name]) for name in ("query", "key", "value"))
    walk.cost(node, prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))
    return freeze_all(walk, node, "enters attention, whose heads have a fixed size")


@rule("einsum")
def _einsum(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    inputs = args["equation"].replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for letters, operand in zip(inputs, args["tensors"], strict=True):
        sizes |= dict(zip(letters, walk.shape(operand), strict=True))
    walk.cost(node, prod(sizes.values()))
    return freeze_all(walk, node, "enters einsum, a product of activations")
