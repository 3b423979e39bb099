"""The table from an operation's name to its rule, and what every rule file needs to join it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, fx

from spaces.nodes import sizes
from spaces.walk import Walk

Rule = Callable[[Walk, fx.Node, dict[str, Any]], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule in the table under the names of its operations."""

    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return enter


def freeze_all(walk: Walk, node: fx.Node, reason: str) -> Any:
    """Freeze whatever enters the node, and what will meet its output."""
    reason = walk.because(node, reason)
    for source in node.all_input_nodes:
        walk.freeze(source, reason)
    fixed = walk.labels.fixed(reason)
    value = node.meta["val"]
    if isinstance(value, Tensor):
        return fixed.expand(sizes(value))
    return [fixed.expand(sizes(v)) if isinstance(v, Tensor) else None for v in value]
