"""torch.export, and its regions (no_grad, autocast, checkpoint) laid out in one flat graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map_only

from spaces.errors import UntraceableError, in_one_line, quiet
from spaces.inputs import Inputs

AUTOCAST = "autocast"
"""Key of a node's meta: the arguments of every autocast region around it, outermost first."""

_AUTOCAST = torch.ops.higher_order.wrap_with_autocast
_REGIONS: dict[Any, int] = {
    torch.ops.higher_order.wrap_with_set_grad_enabled: 1,
    _AUTOCAST: 4,
    torch.ops.higher_order.tag_activation_checkpoint: 0,
}
"""Operation → how many arguments are its own; then come its body and what goes into that."""


def exported(model: nn.Module, inputs: Inputs) -> torch.export.ExportedProgram:
    """The program of a model in the mode that it is in, every region in the place of its call.

    Raises:
        UntraceableError: the model does not run on these inputs, or cannot be traced.
    """
    own = tree_map_only(Tensor, Tensor.clone, inputs)  # one given twice would be one input
    args, kwargs = ((), own) if isinstance(own, dict) else (own, None)
    must = "the model must run on one example input and be traceable by torch.export, but got"
    with in_one_line(UntraceableError, must), quiet("torch"), torch.random.fork_rng(devices=[]):
        program = torch.export.export(model, args, kwargs, strict=False)
    _inline(program.graph_module)
    return program


def _inline(module: fx.GraphModule) -> None:
    """Puts the operations of every region in the place of the region."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _REGIONS:
            body: Any = node.args[_REGIONS[node.target]]
            inner = getattr(module, str(body.target), None)
            if isinstance(inner, fx.GraphModule):
                _inline(inner)
                _lay_out(module, node, inner)
                if not body.users:
                    module.graph.erase_node(body)


def _lay_out(module: fx.GraphModule, call: fx.Node, inner: fx.GraphModule) -> None:
    own = _REGIONS[call.target]
    placeholders = inner.graph.find_nodes(op="placeholder")
    copies: Any = dict(zip(placeholders, call.args[own + 1 :], strict=True))
    inputs = set(copies)
    with module.graph.inserting_before(call):
        found: Any = module.graph.graph_copy(inner.graph, copies)
    for new in (new for old, new in copies.items() if old not in inputs):
        if call.target is _AUTOCAST:
            new.meta[AUTOCAST] = [call.args[:own], *new.meta.get(AUTOCAST, [])]
        if new.op == "get_attr":  # a subgraph, which belongs to the outer module now
            name = f"{call.name}_{str(new.target).replace('.', '_')}"
            setattr(module, name, getattr(inner, str(new.target)))
            new.target = name
    for item in list(call.users):
        item.replace_all_uses_with(found[item.args[1]])
        module.graph.erase_node(item)
    module.graph.erase_node(call)
