"""The table from an operation's name to its rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx

from spaces.walk import Walk

Rule = Callable[[Walk, fx.Node, dict[str, Any]], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule in the table under the names of its operations."""

    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return enter
