"""kept: what of a pruned network its ``state_dict`` does not say, as a file of plain tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.artifact.check import repeated
from prune_ops.artifact.files import on_cpu, packed, read
from prune_ops.artifact.passes import usable
from spaces.errors import DataError
from spaces.inputs import Inputs, arguments
from spaces.slicing import Origin, origin
from spaces.state import is_plain, unsaved


@dataclass(frozen=True, slots=True)
class Kept:
    """Everything on the CPU.

    Attributes:
        cut: (parameter or buffer, dim, ascending positions in the unpruned tensor that stayed) for
            every dim that was cut; None for a network that does not know it.
        buffers: the tensors that no ``state_dict`` holds, and buffers that are None, by name.
        inputs: of a forward pass in eval mode; None where no example is known.
        outputs: all its tensors; None where there is nothing to compare with.
        tolerance: see `Pass`.
    """

    cut: list[tuple[str, int, Tensor]] | None = None
    buffers: Mapping[str, Tensor | None] = field(default_factory=dict)
    inputs: Inputs | None = None
    outputs: list[Tensor] | None = None
    tolerance: float = 0.0

    @property
    def origin(self) -> Origin | None:
        """As the network knew it."""
        if self.cut is None:
            return None
        return Origin({(name, dim): at.numpy() for name, dim, at in self.cut}, self.inputs)

    def packed(self) -> bytes:
        """As `kept_in` reads it."""
        content = {name: getattr(self, name) for name in self.__slots__}
        return packed(content)


def kept_of(model: nn.Module, saved: Mapping[str, Any], example: Any) -> Kept:
    """What there is to keep beside ``saved``, the ``state_dict``.

    Raises:
        ModelError: the network does not run on the example.
        UserError: the example is none.
    """
    came = origin(model)
    inputs = _inputs(model, example, came)
    cut = None if came is None else _listed(came)
    buffers = on_cpu(unsaved(model, saved))
    if inputs is None:
        return Kept(cut, buffers)
    found = repeated(model, inputs)
    if not is_plain(inputs):
        return Kept(cut, buffers)
    if found is None:
        return Kept(cut, buffers, on_cpu(inputs))
    return Kept(cut, buffers, on_cpu(inputs), found.outputs, found.tolerance)


def kept_in(path: Path) -> Kept:
    """What was kept in a file.

    Raises:
        DataError: the file is missing, damaged, or something else.
    """
    try:
        return Kept(**read(path))
    except TypeError as error:
        raise DataError(f"{path} must be what save() wrote, but is not; save it again") from error


def _listed(came: Origin) -> list[tuple[str, int, Tensor]]:
    return [(name, dim, torch.from_numpy(at)) for (name, dim), at in came.kept.items()]


def _inputs(model: nn.Module, example: Any, came: Origin | None) -> Inputs | None:
    if example is not None:
        return arguments(model, example)
    return None if came is None or came.example is None else usable(model, came.example)
