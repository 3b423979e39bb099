"""How the unpruned architecture is built where this package is not installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from search import callables, models
from search.exporting.sources import needed_source
from search.models import from_torchvision

ALIAS = "build_unpruned"
"""What the user's function is called."""
OURS = "search.models"


@dataclass(frozen=True)
class Builder:
    """Python that builds a network with fresh weights.

    Attributes:
        imports: lines.
        definitions: lines that follow them.
        expression: its value is the network.
        needs: the package that must be there besides torch and safetensors; empty for none.
    """

    imports: Sequence[str]
    expression: str
    definitions: str = ""
    needs: str = ""

    def build(self) -> nn.Module:
        """Run it."""
        names: dict[str, Any] = {"__name__": "architecture"}
        lines = ("from __future__ import annotations", *self.imports, self.definitions)
        exec(compile("\n".join(lines), "architecture", "exec"), names)
        model: nn.Module = eval(self.expression, names)
        return model


def builder(model: str, classes: int, in_channels: int) -> Builder:
    """The builder of a model by name, see `search.models`.

    The user's own model is imported from where it is, torchvision's from torchvision; the source of
    ours is copied.

    Raises:
        UserError: no such name, or the user's function cannot be found.
    """
    models.check(model)
    if ":" in model:
        return _users(model, classes)
    family: Any = next(family for family in models.FAMILIES if model in family.names())
    if family is from_torchvision:
        options = {"weights": None, "num_classes": classes, **from_torchvision.options(model)}
        told = ", ".join(f"{name}={value!r}" for name, value in options.items())
        call = f"torchvision.models.get_model({model!r}, {told})"
        return Builder(["import torchvision"], call, needs="torchvision")
    imports, definitions = needed_source(family.__name__, "build", OURS)
    call = f"build({model!r}, classes={classes}, in_channels={in_channels})"
    return Builder(imports, call, definitions)


def _users(model: str, classes: int) -> Builder:
    module, _, name = model.partition(":")
    given = f"num_classes={classes}" if callables.taken(model, "num_classes") else ""
    line = f"from {module} import {name} as {ALIAS}"
    return Builder([line], f"{ALIAS}({given})", needs=module.partition(".")[0])
