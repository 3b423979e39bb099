"""What becomes of a layer's outputs: the BatchNorm and the sum that they go into."""

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
    given: Mapping[str, Any]

    @property
    def weight(self) -> Any:
        return self.given["weight"]

    def of(self, weight: Tensor) -> Tensor:
        """What the layer makes of the same inputs with another weight and no bias."""
        result: Tensor = self.func(**{**self.given, "weight": weight, "bias": None})
        return result

    def kept(self) -> Call:
        """The same, safe from what is done to its input in place later."""
        return replace(self, given={**self.given, "input": self.given["input"].clone()})

    def layer(self, result: Tensor) -> Layer:
        return layer_of(self.func, self.given, result)

    def listed(self, outputs: Tensor) -> Tensor:
        """Outputs of this layer, or what has their shape, as ``(B, O, positions)``."""
        if self.func is F.linear:
            outputs = outputs.reshape(len(outputs) if outputs.ndim > 1 else 1, -1, len(self.weight))
            return outputs.transpose(1, 2)
        return (outputs if outputs.ndim == self.weight.ndim else outputs[None]).flatten(2)

    def along_outputs(self, values: Tensor) -> Tensor:
        """``(O,)`` in the shape that broadcasts over this layer's outputs."""
        return values.reshape(-1, *[1] * (self.weight.ndim - 2))


class Followed(TorchFunctionMode, ABC):
    """While entered, says where the outputs of layers with the given weights go *directly*.

    ``used`` may return a trail, anything. It is handed to ``normalised`` when the outputs go into
    an eval-mode BatchNorm, and to ``added`` when they, or what the BatchNorm made of them, are
    added to something no larger. There, and wherever else they are read first, it ends; dropout at
    rest is passed by.

    It is tensors that are recognised, so that it matters not how the modules are written. Results
    may be changed in place before the network goes on with them.
    """

    def __init__(self, weights: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self._ids = {id(weight) for weight in weights}
        self._trails = WeakIdKeyDictionary()

    @abstractmethod
    def used(self, call: Call, result: Tensor) -> Any:
        """A layer was called; the trail to follow, or None."""

    def normalised(self, trail: Any, given: Mapping[str, Any]) -> None:
        """Its outputs went into ``batch_norm`` with these arguments."""

    def added(self, trail: Any, total: Tensor) -> None:
        """They were added to something, which gave ``total``."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute as ever, and follow."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not isinstance(result, Tensor):
            return result
        read = [tensor for tensor in tree_leaves((args, kwargs)) if self._has(tensor)]
        trails = [(tensor.shape, self._trails.pop(tensor, None)) for tensor in read]
        if func in SIGNATURES:
            given = dict(zip(SIGNATURES[func], args, strict=False)) | kwargs
            if id(given["weight"]) in self._ids:
                self._begin(Call(func, given), result)
        elif func is F.batch_norm and trails:
            self._through(trails[0][1], dict(zip(_BATCH_NORM, args, strict=False)) | kwargs, result)
        elif func is F.dropout and trails:
            if not (dict(zip(_DROPOUT, args, strict=False)) | kwargs).get("training", True):
                self._trails[result] = trails[0][1]
        elif func in _ADDITIONS and kwargs.get("alpha", 1) == 1 and args[0] is not args[-1]:
            for shape, trail in trails:
                if shape == result.shape:
                    self.added(trail, result)
        return result

    def _has(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value in self._trails

    def _begin(self, call: Call, result: Tensor) -> None:
        trail = self.used(call, result)
        if trail is not None:
            self._trails[result] = trail

    def _through(self, trail: Any, given: Mapping[str, Any], result: Tensor) -> None:
        if not given.get("training") and given["running_mean"] is not None:
            self.normalised(trail, given)
            self._trails[result] = trail


_BATCH_NORM = (
    "input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps",
)  # fmt: skip
_DROPOUT = ("input", "p", "training", "inplace")
_ADDITIONS = (torch.add, Tensor.add, Tensor.add_)
