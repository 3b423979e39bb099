"""What operations without a cost of their own multiply: counted by what torch makes of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch.utils.flop_counter import FlopCounterMode

from spaces.nodes import operation
from spaces.walk import Walk

COND = torch.ops.higher_order.cond

MOVING = frozenset(
    {
        *("index_put", "index_add", "index_copy", "index_fill", "index_reduce"),
        *("scatter", "scatter_add", "scatter_reduce", "masked_scatter", "searchsorted"),
        *("slice_scatter", "select_scatter", "diagonal_scatter", "as_strided_scatter"),
        *("bucketize", "isin", "take_along_dim", "embedding_bag", "embedding_renorm"),
    }
)
"""Operations of several tensors that multiply nothing."""


def count(walk: Walk, node: fx.Node) -> None:
    """Add the multiply-adds of the matmuls and convolutions that the node is made of.

    Where there are none though it takes weights and other numbers, they may be hidden in a kernel:
    the node is named as uncounted.
    """
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        _count_region(walk, node)
    elif flops := _flops(node):
        walk.cost(node, flops)
    elif _may_multiply(walk, node):
        walk.uncounted(node)


def _count_region(walk: Walk, node: fx.Node) -> None:
    """Of a branch the dearer side; of a loop nobody knows how often it runs."""
    bodies = [getattr(node.graph.owning_module, str(n.target), None) for n in _subgraphs(node)]
    flops = [_flops_of(body) for body in bodies if isinstance(body, fx.GraphModule)]
    if node.target is COND and flops:
        walk.cost(node, max(flops))
    elif not flops or any(flops):
        walk.uncounted(node)


def _subgraphs(node: fx.Node) -> list[fx.Node]:
    return [source for source in node.all_input_nodes if source.op == "get_attr"]


def _flops_of(body: fx.GraphModule) -> int:
    total = 0
    for node in body.graph.nodes:
        if node.op != "call_function":
            continue
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            inner = [getattr(body, str(n.target)) for n in _subgraphs(node)]
            total += max((_flops_of(g) for g in inner), default=0)
        elif isinstance(node.target, torch._ops.OpOverload):
            total += _flops(node)
    return total


def _flops(node: fx.Node) -> int:
    """Half of what torch's own counter finds, which counts a multiply-add as two."""
    try:
        args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), lambda n: n.meta["val"])
        with torch.no_grad(), _fake_mode(node), FlopCounterMode(display=False) as counter:
            node.target(*args, **kwargs)  # type: ignore[operator]
    except Exception:  # an operation that cannot run without numbers
        return 0
    return counter.get_total_flops() // 2


def _fake_mode(node: fx.Node) -> Any:
    value = node.meta["val"]
    first = value if isinstance(value, Tensor) else next(v for v in value if isinstance(v, Tensor))
    return first.fake_mode  # type: ignore[attr-defined]


def _may_multiply(walk: Walk, node: fx.Node) -> bool:
    floats = [n for n in node.all_input_nodes if _floating(n)]
    name = operation(node)
    return (
        len(floats) > 1
        and any(_only_weights(walk, n) for n in floats)
        and name not in MOVING
        and not name.endswith(("_norm", "loss"))
    )


def _floating(node: fx.Node) -> bool:
    value: Any = node.meta.get("val")
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def _only_weights(walk: Walk, node: fx.Node) -> bool:
    """Whether the node is a parameter, or computed from parameters alone."""
    waiting, seen, any_weight = [node], set(), False
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if one in walk.weights:
            any_weight = True
        elif one.op == "placeholder" and one not in walk.constants:
            return False
        waiting += one.all_input_nodes
    return any_weight
