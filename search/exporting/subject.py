"""The network that is exported, and how it is traced."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map, tree_map_only

from spaces.errors import ModelError, in_one_line, quiet
from spaces.inputs import Inputs

ANY = "dynamic"
"""In the place of a batch size: any number of items at once."""

Program = torch.export.ExportedProgram


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network, ready to be written in some format.

    Attributes:
        model: the pruned network, in eval mode, on the CPU.
        title: what it is, for people.
        example: its inputs for one item.
        widths: group to the channels it keeps.
        batch: how many items go through the file at once; None for any number.
        is_strict: whether it is traced by way of its byte code: slower, but then ``len(images)``
            does not fix the batch size.
        is_fixed: whether the batch size is fixed as any number was asked for in vain.
    """

    model: nn.Module
    title: str
    example: Inputs
    widths: dict[str, int] = field(default_factory=dict)
    batch: int | None = None
    is_strict: bool = False
    is_fixed: bool = False

    @cached_property
    def program(self) -> Program:
        """As ``torch.export`` traces it, for batches of ``batch``.

        Raises:
            ModelError: it cannot be traced so.
        """
        must = "the network must be traceable by torch.export, but got"
        args, kwargs = self.arguments
        with in_one_line(ModelError, must, "mend the model's forward"), quiet("torch"):
            return torch.export.export(
                self.model, args, kwargs, dynamic_shapes=self.shapes, strict=self.is_strict
            )

    @property
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What it is traced with, by position and by name: blank, as some files keep it, and data
        may be private."""
        count = self.batch or 2  # a batch of 1 would be taken for a fixed size

        def blank(tensor: Tensor) -> Tensor:
            return torch.zeros_like(tensor[:1] if tensor.dim() else tensor).repeat(
                *([count] if tensor.dim() else []), *[1] * (tensor.dim() - 1)
            )

        made = tree_map_only(Tensor, blank, self.example)
        return ((), made) if isinstance(made, dict) else (made, {})

    @property
    def shapes(self) -> Any:
        """The dims that may vary, as torch.export and torch.onnx take them; None for none."""
        if self.batch is not None:
            return None
        batch = torch.export.Dim("batch")
        return tree_map(
            lambda x: {0: batch} if isinstance(x, Tensor) and x.dim() else None, self.example
        )

    @property
    def input_names(self) -> list[str]:
        """Those of the traced inputs, in order."""
        return [str(name) for name in self.program.graph_signature.user_inputs]

    def traceable(self) -> Subject:
        """Itself, or with batches of one item if its code does not take any number of them.

        Raises:
            ModelError: it cannot be traced at all.
        """
        ways = [self]
        if self.batch is None:
            ways += [replace(self, is_strict=True), replace(self, batch=1, is_fixed=True)]
        for way in ways[:-1]:
            with suppress(ModelError):
                _ = way.program
                return way
        _ = ways[-1].program
        return ways[-1]
