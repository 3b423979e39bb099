"""What operations without a cost of their own multiply: counted by what torch makes of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from spaces.inputs import tensors
from spaces.nodes import operation
from spaces.walk import Walk

COND = torch.ops.higher_order.cond

MOVING = {
    *("index_put", "index_add", "index_copy", "index_fill", "index_reduce"),
    *("scatter", "scatter_add", "scatter_reduce", "masked_scatter", "searchsorted"),
    *("slice_scatter", "select_scatter", "diagonal_scatter", "as_strided_scatter"),
    *("bucketize", "isin", "take_along_dim", "embedding_bag", "embedding_renorm"),
}
"""Operations of several tensors that multiply nothing."""


def count(walk: Walk, node: fx.Node) -> None:
    """Add the multiply-adds of the matmuls and convolutions that the node is made of.

    Where there are none though it takes weights and other numbers, they may be hidden in a kernel:
    the node is named as uncounted.
    """
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        sides = [_flops_of(body) for body in _bodies(node)]
        if node.target is COND and sides:
            walk.cost(node, max(sides))
        elif not sides or any(sides):  # of a loop nobody knows how often it runs
            walk.uncounted(node)
    elif flops := _flops(node):
        walk.cost(node, flops)
    elif _may_multiply(walk, node):
        walk.uncounted(node)


def _bodies(node: fx.Node) -> list[fx.GraphModule]:
    names = [source.target for source in node.all_input_nodes if source.op == "get_attr"]
    held = [getattr(node.graph.owning_module, str(name), None) for name in names]
    return [body for body in held if isinstance(body, fx.GraphModule)]


def _flops_of(body: fx.GraphModule) -> int:
    total = 0
    for node in body.graph.nodes:
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            total += max(map(_flops_of, _bodies(node)), default=0)
        elif isinstance(node.target, torch._ops.OpOverload):
            total += _flops(node)
    return total


def _flops(node: fx.Node) -> int:
    """Half of what torch's own counter finds, which counts a multiply-add as two."""
    from torch.utils.flop_counter import FlopCounterMode  # imports triton, where there is one

    try:
        args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), lambda n: n.meta["val"])
        fake: Any = tensors(node.meta["val"])[0]
        with torch.no_grad(), fake.fake_mode, FlopCounterMode(display=False) as counter:
            node.target(*args, **kwargs)  # type: ignore[operator]
    except Exception:  # an operation that cannot run without numbers
        return 0
    return counter.get_total_flops() // 2


def _may_multiply(walk: Walk, node: fx.Node) -> bool:
    name = operation(node)
    if name in MOVING or name.endswith(("_norm", "loss")):
        return False
    values = [(n, n.meta.get("val")) for n in node.all_input_nodes]
    numbers = [
        n for n, x in values if isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())
    ]
    return len(numbers) > 1 and any(walk.only_weights(n) for n in numbers)
