"""torch.export, and its regions (no_grad, autocast, checkpoint) laid out in one flat graph."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from spaces.errors import ModelError, brief
from spaces.inputs import Inputs

AUTOCAST = "autocast"
"""Key of a node's meta: the arguments of every autocast region around it, outermost first."""


def exported(model: nn.Module, inputs: Inputs) -> torch.export.ExportedProgram:
    """The program of a model in the mode that it is in, every region in the place of its call.

    Raises:
        ModelError: the model does not run on these inputs, or ``torch.export`` cannot trace it.
    """
    own = tree_map(_own, inputs)
    args, kwargs = ((), own) if isinstance(own, dict) else (own, None)
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            program = torch.export.export(model, args, kwargs, strict=False)
    except Exception as error:
        raise ModelError(
            "the model must run on one example input and be traceable by torch.export, but got "
            f"{brief(error)}"
        ) from error
    _inline(program.graph_module)
    return program


def _own(value: Any) -> Any:
    """One tensor given twice would be one input of the graph."""
    return value.clone() if isinstance(value, Tensor) else value


def _inline(module: fx.GraphModule) -> None:
    """Puts the operations of every region in the place of the region."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _REGIONS:
            body, inputs, context = _REGIONS[node.target](node)
            inner = getattr(module, str(body.target), None)
            if isinstance(inner, fx.GraphModule):
                _inline(inner)
                _lay_out(module, node, inner, inputs, context)
                if not body.users:
                    module.graph.erase_node(body)


def _lay_out(
    module: fx.GraphModule, call: fx.Node, inner: fx.GraphModule, inputs: Any, context: Any
) -> None:
    given = dict(zip(inner.graph.find_nodes(op="placeholder"), inputs, strict=True))
    before = set(given)
    with module.graph.inserting_before(call):
        found: Any = module.graph.graph_copy(inner.graph, given)
    for old, new in given.items():
        if old in before:
            continue
        if context is not None:
            new.meta[AUTOCAST] = [context, *new.meta.get(AUTOCAST, [])]
        if new.op == "get_attr":
            _carry(module, inner, new)
    _replace(module, call, found)


def _carry(module: fx.GraphModule, inner: fx.GraphModule, node: fx.Node) -> None:
    """The subgraph that a region calls belongs to the outer module now, under a name of its own."""
    number = 0
    while hasattr(module, name := f"{str(node.target).replace('.', '_')}_{number}"):
        number += 1
    setattr(module, name, getattr(inner, str(node.target)))
    node.target = name


def _replace(module: fx.GraphModule, call: fx.Node, found: Any) -> None:
    for item in list(call.users):
        item.replace_all_uses_with(found[item.args[1]])
        module.graph.erase_node(item)
    module.graph.erase_node(call)


def _no_grad(node: fx.Node) -> tuple[Any, Any, Any]:
    _, body, *inputs = node.args
    return body, inputs, None


def _autocast(node: fx.Node) -> tuple[Any, Any, Any]:
    device, dtype, enabled, cached, body, *inputs = node.args
    return body, inputs, (device, dtype, enabled, cached)


def _checkpoint(node: fx.Node) -> tuple[Any, Any, Any]:
    body, *inputs = node.args
    return body, inputs, None


_REGIONS: dict[Any, Any] = {
    torch.ops.higher_order.wrap_with_set_grad_enabled: _no_grad,
    torch.ops.higher_order.wrap_with_autocast: _autocast,
    torch.ops.higher_order.tag_activation_checkpoint: _checkpoint,
}
"""Higher-order operation → its body, what goes in, and the autocast that it is under."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch.export logs and prints its own errors in full; ours say it in one line."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "torch"]
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
