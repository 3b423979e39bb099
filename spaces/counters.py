"""Flops as others count them: second opinions, by the module that calls what is counted.

>>> [count.total for count in opinions(model, (torch.zeros(1, 3, 32, 32),))]  # doctest: +SKIP
[40813184, 40813184]

Whatever a counter cannot do, it says: an opinion never raises. Both run on a copy in eval mode, and
so neither the network nor what its hooks write to is touched.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from spaces.copies import copied
from spaces.errors import ModelError, brief, quiet
from spaces.inputs import arguments, call

MULTIPLIES = {"conv", "linear", "matmul", "bmm", "addmm", "mm", "einsum"}
"""Of what fvcore counts, that which is multiply-adds: it counts normalisation too, say."""

KNOWN_GAPS = {
    "_convolution_mode": 'padding="same" or "valid"',
    "scaled_dot_product_attention": "fused attention",
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), "a recurrent layer"),
    **dict.fromkeys(("baddbmm", "linalg_multi_dot", "tensordot"), "a product of several tensors"),
    **dict.fromkeys(("mv", "dot"), "a product with a vector"),
    **dict.fromkeys(("bilinear", "_trilinear"), "a bilinear layer"),
    "deform_conv2d": "a deformable convolution",
}
"""Operations that multiply, and that fvcore or torch has no formula for, in words."""


@dataclass(frozen=True)
class Count:
    """What one counter says of one network.

    Attributes:
        counter: ``"fvcore"`` or ``"torch"``.
        layers: module → multiply-adds of what it calls itself.
        skipped: module → the operations that it calls and the counter has no formula for.
        failure: why there is no count, in one line; empty where there is one.
    """

    counter: str
    layers: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failure: str = ""

    def within(self, names: Sequence[str]) -> Count:
        """The count of what these modules and those in them call; of no names, of all."""
        paths = tuple(f"{name}." for name in names) or ""
        own = {name: n for name, n in self.layers.items() if f"{name}.".startswith(paths)}
        return replace(self, layers=own)

    @property
    def total(self) -> int:
        """Multiply-adds of the whole network."""
        return sum(self.layers.values())


def opinions(model: nn.Module, example: Any) -> list[Count]:
    """The counts of fvcore and of torch's own ``FlopCounterMode``.

    Args:
        example: a tensor, a tuple of positional inputs, or a dict of inputs by name.
    """
    return [_opinion("fvcore", _fvcore, model, example), torch_flops(model, example)]


def _opinion(
    counter: str, count: Callable[[nn.Module, Any], Count], model: nn.Module, example: Any
) -> Count:
    try:
        return count(copied(model).eval(), example)
    except Exception as error:  # of the model's own code, or of the counter's
        return Count(counter, failure=brief(error))


def torch_flops(model: nn.Module, example: Any) -> Count:
    """The count of torch's own ``FlopCounterMode``; see `opinions`."""
    return _opinion("torch", _torch, model, example)


def fvcore_flops(model: nn.Module, example_inputs: tuple[Any, ...]) -> int:
    """fvcore's count of the convolution, linear and matmul ops of ``model``.

    `KNOWN_GAPS` says what it leaves out.

    Raises:
        ModelError: the inputs are given by name.
    """
    return _fvcore(copied(model).eval(), example_inputs).total


def _fvcore(model: nn.Module, example: Any) -> Count:
    inputs = arguments(model, example)
    if isinstance(inputs, dict):
        raise ModelError("fvcore calls a network with inputs by position, but got names")
    with quiet("fvcore"):  # torch.jit, which it uses, is deprecated and warns of every branch
        from fvcore.nn import FlopCountAnalysis  # takes a second to import

        model._register_state_dict_hook(_tensors_only)
        analysis = FlopCountAnalysis(model, inputs).tracer_warnings("none")
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        found = analysis.by_module_and_operator()
        skipped = {name: analysis.unsupported_ops(name) for name in found}
    whole = {
        name: Counter({op: int(n) for op, n in counts.items() if op in MULTIPLIES})
        for name, counts in found.items()
    }
    layers = {name: sum(own.values()) for name, own in _own(whole).items()}
    left_out = {
        name: tuple(op.partition("::")[2] or op for op in own)
        for name, own in _own(skipped).items()
        if own
    }
    return Count("fvcore", layers, left_out)


def _tensors_only(_model: nn.Module, state: dict[str, Any], *_: Any) -> None:
    """Hides extra state from torch.jit, which takes everything in a state_dict for a tensor."""
    for name in [name for name, value in state.items() if not isinstance(value, Tensor)]:
        del state[name]


def _own(whole: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """What modules have themselves, where ``whole`` counts what is inside them too."""
    own = {name: Counter(counts) for name, counts in whole.items()}
    for name, counts in whole.items():
        if name:
            own[name.rpartition(".")[0]].subtract(counts)
    return {name: +counts for name, counts in own.items()}


def _torch(model: nn.Module, example: Any) -> Count:
    from torch.utils.flop_counter import FlopCounterMode  # imports triton, where there is one

    counter = FlopCounterMode(display=False)
    with quiet("torch"), _unfused(), torch.no_grad(), counter, _ByModule(model, counter) as found:
        call(model, example)
    skipped = {name: tuple(dict.fromkeys(ops)) for name, ops in found.skipped.items()}
    return Count("torch", dict(found.layers), skipped)


class _ByModule(TorchDispatchMode):
    """Tells, operation by operation, in which module the counter went up, and where it did not."""

    supports_higher_order_operators = True

    def __init__(self, model: nn.Module, counter: Any) -> None:
        super().__init__()
        self.layers: Counter[str] = Counter()
        self.skipped: defaultdict[str, list[str]] = defaultdict(list)
        self._counter, self._inside = counter, [""]
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda *_, name=name: self._inside.append(name))
            module.register_forward_hook(lambda *_: self._left(), always_call=True)

    def _left(self) -> None:
        self._inside.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self._counter.get_total_flops()
        result = func(*args, **(kwargs or {}))
        twice, module = self._counter.get_total_flops() - before, self._inside[-1]
        self.layers[module] += twice // 2  # torch counts a multiply-add as two
        if not twice:
            self.skipped[module].append(getattr(func, "overloadpacket", func).__name__)
        return result


@contextmanager
def _unfused() -> Iterator[None]:
    """Operations of many products are done product by product, so that each is seen."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            sdpa_kernel(SDPBackend.MATH),
            torch.backends.mkldnn.flags(enabled=False),
            torch.backends.cudnn.flags(enabled=False),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
