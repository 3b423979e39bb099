"""A hash of what a network computes, whatever its weights are: another activation is another hash.

It is taken of the graph that ``torch.export`` makes of the code, and so two hashes can be compared
only if one version of torch made both. Names of nodes, lines of the source and devices are not part
of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind

from spaces.copies import copied
from spaces.export import AUTOCAST, exported
from spaces.inputs import arguments


def graph_fingerprint(model: nn.Module, example: Any) -> str:
    """The hash of what ``model``, which is left as it was, computes in eval mode.

    Args:
        example: a tensor, a tuple of positional inputs, or a dict of inputs by name.

    Raises:
        ModelError: ``torch.export`` cannot trace the model.
    """
    return fingerprint(exported(copied(model).eval(), arguments(model, example)))


def fingerprint(program: torch.export.ExportedProgram) -> str:
    """Sixteen hex digits that differ when operations, their arguments, shapes or constants do."""
    lines = _lines(program.graph_module, dict(_inputs(program)))
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def content(tensor: Tensor) -> bytes:
    """A tensor's values as they lie in memory, of whatever dtype and device."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _inputs(program: torch.export.ExportedProgram) -> Iterator[tuple[str, str]]:
    """Placeholder → what it stands for: which parameter, or which numbers."""
    for spec in program.graph_signature.input_specs:
        what = spec.target if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) else ""
        if spec.kind is InputKind.CONSTANT_TENSOR and spec.target is not None:
            what = hashlib.sha256(content(program.constants[spec.target])).hexdigest()
        yield spec.arg.name, f"{spec.kind.name} {what}"


def _lines(graph: fx.GraphModule, inputs: dict[str, str]) -> Iterator[str]:
    """One line for every node, those of the graphs inside this one after the node that holds them.

    Args:
        inputs: what placeholders stand for; those of inner graphs are told by their position.
    """
    positions = {node: position for position, node in enumerate(graph.graph.nodes)}
    for node in graph.graph.nodes:
        held = attrgetter(str(node.target))(graph) if node.op == "get_attr" else None
        target = _target(node) if node.op == "call_function" else inputs.get(str(node.target), "")
        values = (node.args, node.kwargs, node.meta.get(AUTOCAST, ()))
        given = [_plain(value, positions) for value in values]
        yield repr((node.op, target, given, _plain(node.meta.get("val"), positions)))
        if isinstance(held, fx.GraphModule):
            yield from _lines(held, {})
        elif isinstance(held, Tensor):
            yield hashlib.sha256(content(held)).hexdigest()


def _target(node: fx.Node) -> str:
    """The operation with its overload, or the path of a Python function: never an address."""
    target: Any = node.target
    if isinstance(target, torch._ops.OperatorBase):
        return str(target)
    return f"{target.__module__}.{target.__qualname__}"


def _plain(value: Any, positions: dict[fx.Node, int]) -> Any:
    """What has the same ``repr`` in every process."""
    if isinstance(value, fx.Node):
        return f"node {positions[value]}"
    if isinstance(value, Tensor):
        return tuple(map(str, value.shape)), str(value.dtype)
    if isinstance(value, (list, tuple)):
        return [_plain(each, positions) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each, positions) for key, each in value.items()}
    if isinstance(value, slice):
        return [_plain(each, positions) for each in (value.start, value.stop, value.step)]
    # Autocast regions name their devices by strings.
    is_device = isinstance(value, torch.device) or str(value) in ("cpu", "cuda")
    return "device" if is_device else str(value)
