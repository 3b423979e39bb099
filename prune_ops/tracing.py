"""Tracing a forward pass: its layers, where their outputs go, and its activation functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from prune_ops.contributions import Layer
from spaces import Activation
from spaces.errors import ModelError


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a weight: ``func``, a convolution or ``linear``, with its arguments by name."""

    func: Any
    arguments: Mapping[str, Any]

    @property
    def weight(self) -> Any:
        return self.arguments["weight"]

    @property
    def transposed(self) -> bool:
        return self.func in _TRANSPOSED

    def outputs_with(self, weight: Tensor) -> Tensor:
        """The layer's outputs for the same inputs with another weight and no bias."""
        result: Tensor = self.func(**{**self.arguments, "weight": weight, "bias": None})
        return result

    def without_tensors(self) -> Call:
        """The same call, holding nothing but its weight."""
        return Call(self.func, {"weight": self.weight})

    def with_input_copied(self) -> Call:
        """The same call, unaffected by later in-place changes of its input."""
        return replace(self, arguments={**self.arguments, "input": self.arguments["input"].clone()})

    def layer(self, result: Tensor) -> Layer:
        """The layer of this call, whose outputs have the shape of ``result``."""
        return self.layer_at(tuple(result.shape[2 - self.weight.ndim :]))

    def layer_at(self, positions: tuple[int, ...]) -> Layer:
        """The same by the spatial shape of the outputs; a linear layer has that of its inputs."""
        arguments = self.arguments
        inputs, weight = arguments["input"].detach(), arguments["weight"].detach()
        if self.func is F.linear:
            inputs = self.flattened(inputs)
            return Layer(inputs, weight[..., None], len(weight), inputs.shape[2:], (1,), (0,), (1,))
        dims = weight.ndim - 2
        if inputs.ndim == dims + 1:
            inputs = inputs[None]
        groups = arguments.get("groups", 1)
        dilation = _per_dim(arguments.get("dilation", 1), dims)
        padding = arguments.get("padding", 0)
        if isinstance(padding, str):
            totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
            padding = [total // 2 if padding == "same" else 0 for total in totals]
        return Layer(
            inputs,
            weight,
            weight.shape[1] * groups if self.transposed else len(weight),
            positions,
            _per_dim(arguments.get("stride", 1), dims),
            _per_dim(padding, dims),
            dilation,
            groups,
            self.transposed,
        )

    def flattened(self, outputs: Tensor) -> Tensor:
        """Outputs of this layer, or a tensor of their shape, as ``(B, O, positions)``."""
        if self.func is F.linear:
            items = len(outputs) if outputs.ndim > 1 else 1
            return outputs.reshape(items, -1, outputs.shape[-1]).transpose(1, 2)
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
    Overrides may change results in place before the network uses them, and ``entered`` the weight
    before the layer does.
    """

    def __init__(self, weights: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self._ids = {id(weight) for weight in weights}
        self._trails = WeakIdKeyDictionary()

    def entered(self, call: Call) -> None:
        """A layer is about to be called."""

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
        call = self._call(func, args, kwargs) if func in _SIGNATURES else None
        if call is not None:
            self.entered(call)
        result = func(*args, **kwargs)
        if not isinstance(result, Tensor):
            return result
        read = [
            x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x in self._trails
        ]
        trails = [(tensor.shape, self._trails.pop(tensor, None)) for tensor in read]
        if call is not None:
            self._continue(self.used(call, result), result)
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

    def _call(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Call | None:
        """The call of a layer with one of the weights; None of another."""
        arguments = dict(zip(_SIGNATURES[func], args, strict=False)) | kwargs
        return Call(func, arguments) if id(arguments.get("weight")) in self._ids else None

    def _continue(self, trail: Any, result: Tensor) -> None:
        if trail is not None:
            self._trails[result] = trail


class LayerTracer(OutputTracer):
    """While entered, passes every use of the given weights by a layer to ``callback``."""

    def __init__(
        self, weights: Iterable[nn.Parameter], callback: Callable[[nn.Parameter, Layer], None]
    ) -> None:
        super().__init__(weights)
        self._callback = callback

    def used(self, call: Call, result: Tensor) -> None:
        self._callback(call.weight, call.layer(result))


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
        self._ahead = iter(activations)
        self._callback = callback

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute as usual, and report."""
        result = func(*args, **(kwargs or {}))
        if func in _NAMES:
            traced = next(self._ahead, None)
            if traced is None or _TRACED_AS.get(traced.function, traced.function) != _NAMES[func]:
                raise _another_order(traced.function if traced else "nothing", _NAMES[func])
            self._callback(traced, result)
        return result

    def __exit__(self, kind: Any, *rest: Any) -> None:
        super().__exit__(kind, *rest)
        if kind is None and (unused := next(self._ahead, None)):
            raise _another_order(unused.function, "nothing")


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


def _per_dim(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values


_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_COMMON = ("input", "weight", "bias", "stride", "padding")
_SIGNATURES: dict[Any, tuple[str, ...]] = {
    F.linear: _COMMON[:3],
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), (*_COMMON, "dilation", "groups")),
    **dict.fromkeys(_TRANSPOSED, (*_COMMON, "output_padding", "groups", "dilation")),
}
"""Function → the names of its arguments, in order."""
_BATCH_NORM = (
    "input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps",
)  # fmt: skip
_DROPOUT = ("input", "p", "training", "inplace")
_ADDITIONS = (torch.add, Tensor.add, Tensor.add_)
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
