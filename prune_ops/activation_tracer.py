"""Tracing a forward pass's activation functions, and which group's channels pass them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from spaces import Activation
from spaces.errors import ModelError


class ActivationTracer(TorchFunctionMode):
    """While entered, passes each use of an activation function and its output to ``callback``.

    A forward pass in eval mode uses them in the order in which they were traced, whether they are
    modules, one module used several times, or plain calls.

    Raises:
        ModelError: the pass uses others than those traced.
    """

    def __init__(
        self, activations: Sequence[Activation], callback: Callable[[Activation, Tensor], None]
    ) -> None:
        super().__init__()
        self._activations = activations
        self._callback = callback
        self._used = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute as usual, and report."""
        result = func(*args, **(kwargs or {}))
        if func in _NAMES:
            self._callback(self._next(_NAMES[func]), result)
        return result

    def __exit__(self, kind: Any, *rest: Any) -> None:
        super().__exit__(kind, *rest)
        if kind is None and self._used != len(self._activations):
            raise _another_order(self._activations[self._used].function, "nothing")

    def _next(self, name: str) -> Activation:
        traced = self._activations[self._used] if self._used < len(self._activations) else None
        if traced is None or _TRACED_AS.get(traced.function, traced.function) != name:
            raise _another_order(traced.function if traced else "nothing", name)
        self._used += 1
        return traced


def of_channels(activation: Activation, group: str, values: Tensor) -> Tensor:
    """The values of a group's channels, channels first: ``(channels, …)``."""
    index = torch.from_numpy(np.asarray(activation.channels[group])).to(values.device)
    moved = values.movedim(activation.dim, 0)[index.flatten()]
    return moved.reshape(len(index), -1)


def _another_order(traced: str, called: str) -> ModelError:
    return ModelError(
        "the model must use its activation functions as when it was traced, but where "
        f"{traced} was traced came {called}; use criteria that look at weights, l1 or second_order"
    )


_TRACED_AS = {"relu6": "hardtanh"}
_NAMES: dict[Any, str] = {
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_), "relu"),
    **dict.fromkeys((F.relu6, F.hardtanh, F.hardtanh_), "hardtanh"),
    **dict.fromkeys((F.leaky_relu, F.leaky_relu_), "leaky_relu"),
    **dict.fromkeys((F.elu, F.elu_), "elu"),
    **dict.fromkeys((F.selu, F.selu_, torch.selu, torch.selu_), "selu"),
    **dict.fromkeys((F.celu, F.celu_, torch.celu, torch.celu_), "celu"),
    **dict.fromkeys((F.prelu, torch.prelu, Tensor.prelu), "prelu"),
    **{getattr(F, name): name for name in ("silu", "gelu", "mish", "softplus", "hardswish")},
}
"""Function → its name as traced. Activation modules call these."""
