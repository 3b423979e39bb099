"""extras: what a pruned network's ``state_dict`` does not hold, as a file of plain tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.artifact.files import on_cpu, packed, read
from prune_ops.artifact.passes import informative, reproducible_pass
from spaces.errors import DataError
from spaces.inputs import Inputs, arguments
from spaces.slicing import Origin, origin
from spaces.state import is_plain, unsaved


@dataclass(frozen=True, slots=True)
class Extras:
    """All tensors are on the CPU. The names are those in ``kept.pt``.

    Attributes:
        cut: (parameter or buffer, dim, ascending positions kept of the unpruned tensor) for every
            dim that was cut; None if unknown.
        buffers: the tensors that no ``state_dict`` holds, and buffers that are None, by name.
        inputs: of a forward pass in eval mode; None if no example is known.
        outputs: all its tensors; None if there is nothing to compare with.
        tolerance: see `Pass`.
    """

    cut: list[tuple[str, int, Tensor]] | None = None
    buffers: Mapping[str, Tensor | None] = field(default_factory=dict)
    inputs: Inputs | None = None
    outputs: list[Tensor] | None = None
    tolerance: float = 0.0

    @property
    def origin(self) -> Origin | None:
        if self.cut is None:
            return None
        return Origin({(name, dim): at.numpy() for name, dim, at in self.cut}, self.inputs)

    def packed(self) -> bytes:
        return packed({name: getattr(self, name) for name in self.__slots__})


def extras_of(model: nn.Module, saved: Mapping[str, Any], example: Any) -> Extras:
    """What to store beside ``saved``, the ``state_dict``; errors as of ``save``."""
    source = origin(model)
    inputs = _inputs(model, example, source)
    cut = None
    if source is not None:
        cut = [(name, dim, torch.from_numpy(at)) for (name, dim), at in source.kept.items()]
    buffers = on_cpu(unsaved(model, saved))
    result = None if inputs is None else reproducible_pass(model, inputs)
    if inputs is None or not is_plain(inputs):
        return Extras(cut, buffers)
    if result is None:
        return Extras(cut, buffers, on_cpu(inputs))
    return Extras(cut, buffers, on_cpu(inputs), result.outputs, result.tolerance)


def read_extras(path: Path) -> Extras:
    """The extras in a file, or a DataError."""
    try:
        return Extras(**read(path))
    except TypeError as error:
        raise DataError(f"{path} must be what save() wrote, but is not; save it again") from error


def _inputs(model: nn.Module, example: Any, source: Origin | None) -> Inputs | None:
    if example is not None:
        return arguments(model, example)
    return None if source is None or source.example is None else informative(model, source.example)
