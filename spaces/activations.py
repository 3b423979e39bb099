"""Where channels pass an activation function: what feature-map criteria look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from spaces.groups import ChannelGroup, positions
from spaces.walk import Trace

ACTIVATIONS = {
    *("relu", "relu6", "hardtanh", "leaky_relu", "prelu", "elu", "selu", "celu"),
    *("silu", "gelu", "mish", "softplus", "hardswish"),
}
"""Operations whose output is a feature map. Gates (sigmoid and its like) are none."""


@dataclass(frozen=True, slots=True)
class Activation:
    """One use of an activation function, in the order in which a forward pass makes them.

    Attributes:
        function: a name in ``ACTIVATIONS``; a hardtanh that ends at 0 below is ``relu6``.
        dim: of its output along which the channels lie; the batch is dim 0.
        channels: group name → int64 ``(channels, r)``: channel ``c`` owns positions ``[c]`` of
            ``dim``. Empty where no whole group passes, or channels lie along several dims.
    """

    function: str
    dim: int = 1
    channels: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def rectifies(self) -> bool:
        """Whether it gives exactly zero for everything below zero."""
        return self.function in ("relu", "relu6")


def find_activations(trace: Trace, groups: Sequence[ChannelGroup]) -> tuple[Activation, ...]:
    """Every use of an activation function in the eval-mode graph, and who passes it."""
    roots = {group.name: _roots(trace, group) for group in groups}
    return tuple(_activation(trace, name, labels, roots) for name, labels in trace.activations)


def _roots(trace: Trace, group: ChannelGroup) -> np.ndarray:
    """The class of every channel, ``(channels,)``."""
    member = next(m for m in group.members if m.kind == "out")
    line = trace.labels.find(trace.axes[member.parameter, member.dim]).numpy()
    roots: np.ndarray = line[member.index[:, 0]]
    return roots


def _activation(
    trace: Trace, function: str, labels: Tensor, roots: Mapping[str, np.ndarray]
) -> Activation:
    dims = trace.labels.varying(labels)
    if len(dims) != 1:
        return Activation(function)
    line = trace.labels.along(labels, dims[0]).numpy()
    found = {name: positions(line, of_group) for name, of_group in roots.items()}
    whole = {name: index for name, index in found.items() if index is not None}
    return Activation(function, dims[0], whole)
