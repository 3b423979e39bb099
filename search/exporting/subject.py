"""The network that is exported, and what its file is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from spaces.errors import ModelError, blamed, in_one_line, quiet

ANY = "dynamic"
"""In the place of a batch size: any number of images at once."""

Program = torch.export.ExportedProgram


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network, ready to be written in some format.

    Attributes:
        model: the pruned network, in eval mode, on the CPU.
        title: what it is, for people.
        image: the shape of one image, (C, H, W).
        widths: group to the channels it keeps.
        batch: how many images go through the file at once; None for any number.
        fixed: why the batch size is fixed, where any number was asked for.
    """

    model: nn.Module
    title: str
    image: tuple[int, ...]
    widths: dict[str, int] = field(default_factory=dict)
    batch: int | None = None
    fixed: str = ""

    @cached_property
    def program(self) -> Program:
        """As ``torch.export`` traces it, for batches of ``batch``.

        Raises:
            ModelError: it cannot be traced so.
        """
        must = "the network must be traceable by torch.export, but got"
        with in_one_line(ModelError, must, "mend the model's forward"), quiet("torch"):
            return torch.export.export(self.model, self.inputs, dynamic_shapes=self.shapes)

    @property
    def inputs(self) -> tuple[Tensor]:
        """What it is traced with. It is kept in some files: blank, as images may be private."""
        return (torch.zeros(self.batch or 2, *self.image),)  # a batch of 1 would count as fixed

    @property
    def shapes(self) -> Any:
        """The dims that may vary, as torch.export and torch.onnx take them; None for none."""
        return None if self.batch else ({0: torch.export.Dim("batch")},)

    def traceable(self) -> Subject:
        """Itself, or with batches of one image if its code does not take any number of them."""
        if self.batch is not None:
            return self
        try:
            _ = self.program
        except ModelError as error:
            why = blamed(error.__cause__ or error)
            return replace(self, batch=1, fixed=f"torch.export gave {why}")
        return self
