"""What a node of an exported graph says of itself: its operation, its module, the user's line."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

_TORCH = str(Path(torch.__file__).parent / "_")[:-1]
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in ')


def written(node: fx.Node) -> str:
    """The operation's name as the graph has it."""
    # A higher-order operation (torch.cond, say) has no overloads.
    return getattr(node.target, "overloadpacket", node.target).__name__  # type: ignore[union-attr]


def operation(node: fx.Node) -> str:
    """The operation's name, the in-place form under that of the ordinary one."""
    if node.op != "call_function":
        return node.op
    name = written(node)
    return name if name.startswith("_") else name.rstrip("_")


def module(node: fx.Node) -> str:
    """The innermost module that called the node's operation; empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    name: str = list(stack.values())[-1][0]
    return name


def source(node: fx.Node) -> str:
    """``net.py:12``: the innermost line outside torch that led to the node, if that is known."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [(file, line) for file, line in frames if not file.startswith((_TORCH, "<"))]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else ""


def sizes(value: Tensor) -> tuple[int, ...]:
    """The shape of a node's value; 1 for a size that depends on the data."""
    return tuple(size if isinstance(size, int) else 1 for size in value.shape)


def is_sized(node: fx.Node) -> bool:
    """Whether the sizes of what the node takes and gives are known."""
    values = tree_leaves([n.meta.get("val") for n in (node, *node.all_input_nodes)])
    return all(isinstance(n, int) for x in values if isinstance(x, Tensor) for n in x.shape)
