"""Walks the exported graph of a model with labels in place of numbers.

``trace`` exports the model with ``torch.export`` and gives every activation a label tensor of its
own shape. The rules for the operations are in ``spaces.rules``; what comes out says which label
lies at which index of which parameter, and what each costed operation costs.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from spaces.copies import copied
from spaces.errors import ModelError
from spaces.rules import apply
from spaces.slicing import named_tensors
from spaces.walk import Trace, Walk

NO_GRAD = torch.ops.higher_order.wrap_with_set_grad_enabled


def trace(model: nn.Module, example_inputs: tuple[Any, ...]) -> Trace:
    """Labels of every parameter of ``model``, which is left as it was.

    Parameters that the eval-mode graph does not use (auxiliary heads, say) are looked for in the
    train-mode graph as well, so that what only training uses is kept whole too.

    Raises:
        ModelError: ``torch.export`` cannot trace the model.
    """
    model = copied(model)
    result = Trace(_export(model.eval(), example_inputs), named_tensors(model), _canonical(model))
    _walk(result, result.program)
    used = {name for name, _ in result.axes} | result.elements.keys()
    if any(name not in used and p.dim() > 0 for name, p in model.named_parameters()):
        costs, statistics = list(result.costs), dict(result.statistics)
        activations = list(result.activations)
        with contextlib.suppress(ModelError):
            _walk(result, _export(model.train(), twice(example_inputs)))
        result.costs, result.statistics, result.activations = costs, statistics, activations
    return result


def _canonical(model: nn.Module) -> dict[str, str]:
    """Every name of every parameter and buffer → the first name of the same tensor."""
    first = {id(tensor): name for name, tensor in named_tensors(model).items()}
    shared = [model.named_parameters, model.named_buffers]
    return {name: first[id(t)] for each in shared for name, t in each(remove_duplicate=False)}


def twice(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs with their batch repeated: BatchNorm cannot train on one value per channel."""
    return tuple(torch.cat([x, x]) if isinstance(x, Tensor) and x.dim() else x for x in inputs)


def _export(model: nn.Module, example_inputs: tuple[Any, ...]) -> torch.export.ExportedProgram:
    try:
        with _quiet():
            program = torch.export.export(model, example_inputs, strict=False)
    except Exception as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            "the model must run on one example input and be traceable by torch.export, but got "
            f"{type(error).__name__}: {line}"
        ) from error
    _inline(program.graph_module)
    return program


def _inline(module: fx.GraphModule) -> None:
    """Puts the operations of every ``torch.no_grad()`` region in the place of the region."""
    graph = module.graph
    for node in graph.find_nodes(op="call_function", target=NO_GRAD):
        _, region, *inputs = node.args
        inner: Any = module.get_submodule(region.target)
        _inline(inner)
        if inner.graph.find_nodes(op="get_attr"):  # another region, an autocast one say
            continue
        given = dict(zip(inner.graph.find_nodes(op="placeholder"), inputs, strict=True))
        with graph.inserting_before(node):
            found: Any = graph.graph_copy(inner.graph, given)
        for item in list(node.users):
            item.replace_all_uses_with(found[item.args[1]])
            graph.erase_node(item)
        graph.erase_node(node)
        graph.erase_node(region)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch.export logs its own errors in full; ours say it in one line."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _walk(result: Trace, program: torch.export.ExportedProgram) -> None:
    walk = Walk(result, program)
    for node in program.graph_module.graph.nodes:
        if node.op == "call_function":
            apply(walk, node)
        elif node.op == "get_attr":
            walk.values[node] = None  # a subgraph
        elif node.op == "output":
            for leaf in node.all_input_nodes:
                walk.freeze(leaf, "network output")
