"""Probe: a copy of the network on which cuts are tried, so drawn that nothing hides an error."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from spaces.copies import copied
from spaces.errors import ModelError, in_one_line
from spaces.groups import ChannelGroup
from spaces.inputs import Inputs, call, repeated, tensors
from spaces.slicing import named_tensors
from spaces.state import become

HIDES = 1e-3
"""A parameter whose root mean square is below this hides what it multiplies."""

TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Largest relative error between a cut and a masked network, by the coarsest type of number."""


class Probe:
    """The network with every parameter that could hide an error drawn anew.

    Those are parameters of normalisation, scales, running statistics, and whatever is zero or next
    to it, so that a block behind a zero-initialised layer or a layer scale of 1e-6 is seen.

    Attributes:
        model: in eval mode.
        single: whether ``model`` is of half precision and is tried in single, where it runs so.
        inputs: noise if its outputs are numbers, else the example.
        whole: what the uncut network gives for them.
        others: inputs that differ from them, but for integers.
        several: the inputs with every item twice, the second one changed.
    """

    def __init__(self, model: nn.Module, example: Inputs, groups: Iterable[ChannelGroup]) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self.model = self._as_it_came = copied(model).eval()
        for module in self.model.modules():
            if isinstance(module, nn.RNNBase):
                module.dropout = 0.0  # between its layers, where `NoDropout` does not see it
        self._redraw(groups)
        self._given = (_of_floats(self._noise, example), example)
        half = {p.dtype for p in self.model.parameters()} & {torch.float16, torch.bfloat16}
        if not (half and self._in_single()):
            self.as_it_came()

    def as_it_came(self) -> None:
        """In the precision of the model.

        Raises:
            ModelError: it does not run, or its outputs are no numbers.
        """
        self.model, self.single = self._as_it_came, False
        must = "the model must run on one example input in eval mode, but it fails with"
        for inputs in self._given:
            with in_one_line(ModelError, must):
                whole = self.outputs(partial(call, self.model, inputs))
            if not _has_nan(whole):
                self.inputs, self.whole = inputs, whole
                self._vary()
                return
        raise ModelError("the model's outputs must be numbers, but they are nan; check its weights")

    def doubled(self) -> Probe:
        """The same in double precision, in which rounding is too small to be taken for an error.

        Raises:
            Exception: what the network raises, where its code fixes another type.
        """
        other = copy.copy(self)
        vars(other).pop("training", None)  # what it keeps of before
        other.model = copied(self.model).double()
        other.inputs, other.others, other.several = (
            _of_floats(Tensor.double, x) for x in (self.inputs, self.others, self.several)
        )
        other.whole = other.outputs(lambda: call(other.model, other.inputs))
        return other

    def _in_single(self) -> bool:
        model, inputs = copied(self.model).float(), _of_floats(Tensor.float, self._given[0])
        try:
            whole = self.outputs(lambda: call(model, inputs))
        except Exception:  # a type fixed in the user's code
            return False
        if _has_nan(whole):
            return False
        self.model, self.inputs, self.whole, self.single = model, inputs, whole, True
        self._vary()
        return True

    def _vary(self) -> None:
        self.others, self.several = (
            _of_floats(lambda x: x + 0.5 * self._noise(x), given)
            for given in (self.inputs, repeated(self.inputs))
        )

    def _redraw(self, groups: Iterable[ChannelGroup]) -> None:
        members = [m for g in groups for m in g.members]
        scales = {m.parameter for m in members if m.kind in ("norm", "scale")}
        with torch.no_grad():
            for name, tensor in sorted(named_tensors(self.model).items()):
                if tensor.is_floating_point() and (name in scales or _hides(tensor)):
                    become(tensor, self._drawn(name, tensor).to(tensor))

    def _drawn(self, name: str, tensor: Tensor) -> Tensor:
        noise = torch.rand(tensor.shape, generator=self._generator)
        if name.endswith(("bias", "running_mean")):
            return 0.2 * noise - 0.1
        if sum(size > 1 for size in tensor.shape) < 2:
            return 0.5 + noise
        fan_in = tensor[0].numel()
        return (noise - 0.5) * (12 / fan_in) ** 0.5

    def _noise(self, value: Tensor) -> Tensor:
        return torch.randn(value.shape, generator=self._generator).to(value)

    @cached_property
    def training(self) -> Inputs | None:
        """What the uncut network trains on; None if it does not. BatchNorm cannot train on one
        value a channel, and where the first dim is no batch there may be no second item."""
        works = (x for x in (self.several, self.inputs) if isinstance(self.uncut(x), list))
        return next(works, None)

    def uncut(self, inputs: Inputs, backward: bool = True) -> list[Tensor] | Exception:
        """A training step of the uncut network, or what it raised."""
        return self.step(copied(self.model), inputs, backward)

    def trained(self, model: nn.Module) -> tuple[list[Tensor] | Exception, Inputs]:
        """What a training step of a cut gives, and on which inputs. Only where it fails it is asked
        what the uncut network can be trained on."""
        found = self.step(model, self.several)
        if isinstance(found, Exception) and self.training is self.inputs:
            return self.step(model, self.inputs), self.inputs
        return found, self.several

    @staticmethod
    def outputs(run: Callable[[], Any]) -> list[Tensor]:
        """The tensors among what a call in eval mode gives; the same draws every time."""
        with torch.no_grad(), _same_draws(), NoDropout():
            return tensors(run())

    @staticmethod
    def step(model: nn.Module, inputs: Inputs, backward: bool = True) -> list[Tensor] | Exception:
        """The outputs of a training step, forward and backward; or what it raised.

        ``model`` is not what it was afterwards.
        """
        model.train()
        try:
            with torch.enable_grad(), _same_draws(), NoDropout():
                found = tensors(call(model, inputs))
                if backward:
                    sums = [x.float().sum() for x in found if x.requires_grad]
                    torch.stack(sums).sum().backward()
        except Exception as error:  # anything that training raises is the answer
            return error
        return [x.detach() for x in found]


class NoDropout(TorchFunctionMode):
    """Calls of dropout give back what they are given: what they draw depends on the widths."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """As ever, but for dropout."""
        if func in _DROPOUTS:
            return args[0] if args else (kwargs or {})["input"]
        return func(*args, **(kwargs or {}))


_DROPOUTS = {
    *(nn.functional.dropout, nn.functional.dropout1d, nn.functional.dropout2d),
    *(nn.functional.dropout3d, nn.functional.alpha_dropout, nn.functional.feature_alpha_dropout),
    *(torch.dropout, torch.dropout_, torch.feature_dropout, torch.alpha_dropout),
}


def tolerance(dtypes: Iterable[torch.dtype]) -> float:
    """The largest relative error that rounding explains, of numbers of these types."""
    known = [TOLERANCES[dtype] for dtype in dtypes if dtype in TOLERANCES]
    return max(known, default=TOLERANCES[torch.float32])


@contextmanager
def full_precision() -> Iterator[None]:
    """Without TF32: on a GPU convolutions round to 10 bits by default, far above `TOLERANCES`."""
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])


def _hides(tensor: Tensor) -> bool:
    is_weight = isinstance(tensor, nn.Parameter) and tensor.numel() > 0
    return is_weight and float(tensor.float().square().mean().sqrt()) < HIDES


def _of_floats(function: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """The function of every tensor of real numbers; the rest as it is."""
    return tree_map_only(Tensor, lambda x: function(x) if x.is_floating_point() else x, inputs)


def _has_nan(values: Sequence[Tensor]) -> bool:
    return any(bool(x.isnan().any()) for x in values)


@contextmanager
def _same_draws() -> Iterator[None]:
    """Random numbers begin anew in the block, and go on as before after it, on GPUs too."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        torch.random.default_generator.manual_seed(0)
        if devices:
            torch.cuda.manual_seed_all(0)
        yield
