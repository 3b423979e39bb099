"""Tracing where a layer's outputs go: into a BatchNorm, into a sum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from prune_ops.contributions import SIGNATURES, Layer, layer_of


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a weight: ``func``, a convolution or ``linear``, with its arguments by name."""

    func: Any
    arguments: Mapping[str, Any]

    @property
    def weight(self) -> Any:
        return self.arguments["weight"]

    def outputs_with(self, weight: Tensor) -> Tensor:
        """The layer's outputs for the same inputs with another weight and no bias."""
        result: Tensor = self.func(**{**self.arguments, "weight": weight, "bias": None})
        return result

    def with_input_copied(self) -> Call:
        """The same call, unaffected by later in-place changes of its input."""
        return replace(self, arguments={**self.arguments, "input": self.arguments["input"].clone()})

    def layer(self, result: Tensor) -> Layer:
        return layer_of(self.func, self.arguments, result)

    def flattened(self, outputs: Tensor) -> Tensor:
        """Outputs of this layer, or a tensor of their shape, as ``(B, O, positions)``."""
        if self.func is F.linear:
            outputs = outputs.reshape(len(outputs) if outputs.ndim > 1 else 1, -1, len(self.weight))
            return outputs.transpose(1, 2)
        return (outputs if outputs.ndim == self.weight.ndim else outputs[None]).flatten(2)

    def along_outputs(self, values: Tensor) -> Tensor:
        """``(O,)`` in the shape that broadcasts over this layer's outputs."""
        return values.reshape(-1, *[1] * (self.weight.ndim - 2))


class OutputTracer(TorchFunctionMode, ABC):
    """While entered, reports where the outputs of layers with the given weights go *directly*.

    ``used`` may return a trail, any object. It is passed to ``normalised`` when the outputs enter
    an eval-mode BatchNorm, and to ``added`` when they, or the BatchNorm's outputs, are added to
    something no larger. The trail ends there and at any other first use, except inactive dropout.

    Tensors are recognised, not modules, so that it does not matter how the network is written.
    Overrides may change results in place before the network uses them.
    """

    def __init__(self, weights: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self._ids = {id(weight) for weight in weights}
        self._trails = WeakIdKeyDictionary()

    @abstractmethod
    def used(self, call: Call, result: Tensor) -> Any:
        """A layer was called; the trail to follow, or None."""

    def normalised(self, trail: Any, arguments: Mapping[str, Any]) -> None:
        """Its outputs entered ``batch_norm`` with these arguments."""

    def added(self, trail: Any, total: Tensor) -> None:
        """They were added to something, with the sum ``total``."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute as usual, and follow the trails."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not isinstance(result, Tensor):
            return result
        read = [
            x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x in self._trails
        ]
        trails = [(tensor.shape, self._trails.pop(tensor, None)) for tensor in read]
        if func in SIGNATURES:
            arguments = dict(zip(SIGNATURES[func], args, strict=False)) | kwargs
            if id(arguments["weight"]) in self._ids:
                self._continue(self.used(Call(func, arguments), result), result)
        elif func is F.batch_norm and trails:
            arguments = dict(zip(_BATCH_NORM, args, strict=False)) | kwargs
            if not arguments.get("training") and arguments["running_mean"] is not None:
                self.normalised(trails[0][1], arguments)
                self._continue(trails[0][1], result)
        elif func is F.dropout and trails:
            if not (dict(zip(_DROPOUT, args, strict=False)) | kwargs).get("training", True):
                self._continue(trails[0][1], result)
        elif func in _ADDITIONS and kwargs.get("alpha", 1) == 1 and args[0] is not args[-1]:
            for shape, trail in trails:
                if shape == result.shape:
                    self.added(trail, result)
        return result

    def _continue(self, trail: Any, result: Tensor) -> None:
        if trail is not None:
            self._trails[result] = trail


_BATCH_NORM = (
    "input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps",
)  # fmt: skip
_DROPOUT = ("input", "p", "training", "inplace")
_ADDITIONS = (torch.add, Tensor.add, Tensor.add_)
