"""extras: what is saved of a network besides its ``state_dict``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from spaces.inputs import Inputs


@dataclass(frozen=True)
class Extras:
    """All tensors are on the CPU once they are read.

    Attributes:
        cut: (parameter or buffer, dim, ascending positions kept of the unpruned tensor) for every
            dim that was cut; None if unknown.
        buffers: the tensors that no ``state_dict`` holds, and buffers that are None, by name.
        inputs: of a forward pass in eval mode; None if no example is known.
        outputs: all its tensors; None if there is nothing to compare with.
        tolerance: see `prune_ops.artifact.passes.Pass`.
    """

    cut: list[tuple[str, int, Tensor]] | None = None
    buffers: Mapping[str, Tensor | None] = field(default_factory=dict)
    inputs: Inputs | None = None
    outputs: list[Tensor] | None = None
    tolerance: float = 0.0
