"""Models that people bring, good and bad: ``fuzz.strange_models:NAME`` for digits (1, 8, 8)."""

from __future__ import annotations

import copy
import random
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

CLASSES = 10


class Base(nn.Module):
    """conv 1→8, BatchNorm, conv 8→8, linear: what the others spoil."""

    def __init__(self, num_classes: int = CLASSES) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.b, self.head = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, num_classes)

    def features(self, x: Tensor) -> Tensor:
        return self.b(self.norm(self.a(x)).relu()).relu().mean((2, 3))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x))


MODELS: dict[str, Callable[..., Any]] = {}


def entered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Into the table of what a command line may name."""
    MODELS[function.__name__] = function
    return function


def spoiled(name: str, spoil: Callable[[nn.Module, Tensor], Any]) -> None:
    """Enter the base network with another forward, ``spoil(model, images)``."""

    def build(num_classes: int = CLASSES) -> nn.Module:
        return type(name, (Base,), {"forward": spoil})(num_classes)

    build.__name__ = name
    MODELS[name] = globals()[name] = build


def built(name: str, build: Callable[[], Any]) -> None:
    """Enter a function that takes nothing."""
    MODELS[name] = globals()[name] = lambda: build()


class Unkind(torch.autograd.Function):
    """Fails on the way back."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_ctx: Any, _gradient: Tensor) -> Any:
        raise ArithmeticError("no way back")


def raising(error: BaseException) -> Any:
    """An expression that raises."""
    raise error


def only_in_training(act: Callable[[nn.Module, Tensor], Any]) -> Callable[[nn.Module, Tensor], Any]:
    """A forward that acts in train mode alone."""
    return lambda m, x: act(m, x) if m.training else Base.forward(m, x)


def changed(**attributes: Any) -> Callable[[], nn.Module]:
    """Builds the base network with these methods or attributes of its class."""
    return lambda: type("Changed", (Base,), attributes)()


def with_part(part: Callable[[], Any]) -> Callable[[], nn.Module]:
    """Builds the base network with another attribute, ``part()``."""

    def build() -> nn.Module:
        model = Base()
        model.part = part()
        return model

    return build


spoiled("good", Base.forward)
spoiled("fails", lambda _, __: raising(KeyError("missing")))
spoiled("fails_in_lines", lambda _, __: raising(RuntimeError("one\ntwo\n\nthree")))
spoiled("fails_silently", lambda _, __: raising(AssertionError()))
spoiled("exits", lambda _, __: sys.exit(3))
spoiled("exits_with_words", lambda _, __: sys.exit("bye"))
spoiled("interrupted", lambda _, __: raising(KeyboardInterrupt()))
spoiled("stops_iterating", lambda _, __: raising(StopIteration()))
spoiled("out_of_memory", lambda _, __: raising(MemoryError()))
spoiled("recurses", lambda m, x: m(x))
spoiled("fails_in_training", only_in_training(lambda _, __: raising(LookupError("in\ntraining"))))
spoiled("exits_in_training", only_in_training(lambda _, __: sys.exit(0)))
spoiled("nan_in_training", only_in_training(lambda m, x: Base.forward(m, x) * float("nan")))
spoiled("tuple_in_training", only_in_training(lambda m, x: (Base.forward(m, x), x)))
spoiled("few_in_training", only_in_training(lambda m, x: Base.forward(m, x)[:1]))
spoiled("fails_backward", lambda m, x: Unkind.apply(Base.forward(m, x)))
spoiled("detached", lambda m, x: Base.forward(m, x).detach())
spoiled("whole_numbers", lambda m, x: Base.forward(m, x).long())
spoiled("classes_chosen", lambda m, x: Base.forward(m, x).argmax(1))
spoiled("complex_logits", lambda m, x: Base.forward(m, x).to(torch.complex64))
spoiled("double_logits", lambda m, x: Base.forward(m, x).double())
spoiled("nan_logits", lambda m, x: Base.forward(m, x) / 0 - Base.forward(m, x) / 0)
spoiled("infinite_logits", lambda m, x: Base.forward(m, x) * 1e38 * 1e38)
spoiled("constant_logits", lambda m, x: Base.forward(m, x) * 0)
spoiled("none", lambda _, __: None)
spoiled("a_number", lambda _, __: 3.0)
spoiled("a_string", lambda _, __: "logits")
spoiled("a_tuple", lambda m, x: (Base.forward(m, x), m.features(x)))
spoiled("a_dict", lambda m, x: {"logits": Base.forward(m, x)})
spoiled("a_list", lambda m, x: [Base.forward(m, x)])
spoiled("flat_logits", lambda m, x: Base.forward(m, x).flatten())
spoiled("deep_logits", lambda m, x: Base.forward(m, x)[:, :, None])
spoiled("summed", lambda m, x: Base.forward(m, x).sum())
spoiled("decides_by_value", lambda m, x: Base.forward(m, x) if x.mean() > 0 else m.head(m.a(x)))
spoiled("takes_items", lambda m, x: Base.forward(m, x) * x.mean().item())
spoiled("takes_numpy", lambda m, x: m.head(torch.from_numpy(m.features(x).detach().numpy())))
spoiled("draws", lambda m, x: Base.forward(m, x + torch.rand_like(x)))
spoiled("draws_sizes", lambda m, x: Base.forward(m, x)[:, : random.randint(1, 10)])
spoiled("prints", lambda m, x: (print("looking"), Base.forward(m, x))[1])
spoiled("warns", lambda m, x: (warnings.warn("old", stacklevel=1), Base.forward(m, x))[1])
spoiled("changes_input", lambda m, x: Base.forward(m, x.mul_(0.5)))
spoiled("takes_one_image", lambda m, x: Base.forward(m, x) if len(x) == 1 else x.view(3, -1))
spoiled("takes_many_images", lambda m, x: Base.forward(m, x) if len(x) > 1 else x.view(3, 7))
spoiled("grows", lambda m, x: (m.register_buffer("b" + str(id(x)), x), Base.forward(m, x))[1])
spoiled("fixed_view", lambda m, x: m.head(m.features(x).view(-1, 8)))
spoiled("new_layer", lambda m, x: nn.Linear(8, 10)(m.features(x)))

built("returns_none", lambda: None)
built("returns_class", lambda: Base)
built("returns_pair", lambda: (Base(), 1))
built("returns_state", lambda: Base().state_dict())
built("raises", lambda: raising(ValueError("no\nway")))
built("raises_nothing", lambda: raising(RuntimeError()))
built("raises_exit", lambda: sys.exit(1))
built("raises_interrupt", lambda: raising(KeyboardInterrupt()))
built("identity", nn.Identity)
built("flat", nn.Flatten)
built("empty", nn.Sequential)
built("linear", lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
built("three_classes", lambda: Base(3))
built("no_forward", lambda: type("Bare", (nn.Module,), {})())
built("three_colours", lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.LazyLinear(10)))
built("lazy", lambda: nn.Sequential(nn.LazyConv2d(8, 3), nn.Flatten(), nn.LazyLinear(10)))
built("compiled", lambda: torch.compile(Base(), backend="eager"))
built("scripted", lambda: torch.jit.trace(Base().eval(), torch.zeros(1, 1, 8, 8)))
built("parallel", lambda: nn.DataParallel(Base()))
built("frozen", lambda: Base().requires_grad_(False))
built("double", lambda: Base().double())
built("half", lambda: Base().half())
built("on_meta", lambda: Base().to("meta"))
built("random_width", lambda: nn.Sequential(nn.Conv2d(1, random.randint(4, 99), 8), nn.Flatten()))
built("no_channels", lambda: nn.Sequential(nn.Conv2d(1, 0, 3), nn.Flatten(), nn.Linear(0, 10)))
built("one_channel", lambda: nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(36, 10)))
built("locked", with_part(threading.Lock))
built("generating", with_part(lambda: (n for n in range(3))))
built("opened", with_part(lambda: open(__file__)))  # noqa: SIM115
built("nan_weights", lambda: nn.utils.vector_to_parameters(torch.full((754,), torch.nan), Base()))
built("needs_arguments", lambda: type("Two", (Base,), {"forward": lambda m, _x, _y: m})())
built("takes_nothing", lambda: type("Zero", (Base,), {"forward": lambda m: m})())
built("train_returns_none", changed(train=lambda m, mode=True: nn.Module.train(m, mode) and None))
built("train_raises", changed(train=lambda _, __=True: raising(NotImplementedError("never"))))
built("eval_raises", changed(eval=lambda _: raising(NotImplementedError("never"))))
built("no_parameters", changed(parameters=lambda _, __=True: iter(())))
built("state_raises", changed(state_dict=lambda *_, **__: raising(OSError("no state"))))
built("state_empty", changed(state_dict=lambda *_, **__: {}))
built("load_raises", changed(load_state_dict=lambda *_, **__: raising(TypeError("no load"))))
built("uncopied", changed(__deepcopy__=lambda *_: raising(copy.Error("no copy"))))
built("odd_copy", changed(__deepcopy__=lambda *_: nn.Identity()))
built("unpickled", changed(__reduce_ex__=lambda *_: raising(TypeError("no pickle"))))
built("whole_parameter", with_part(lambda: nn.Parameter(torch.arange(3), requires_grad=False)))
built("complex_parameter", with_part(lambda: nn.Parameter(torch.zeros(3, dtype=torch.complex64))))
built("empty_parameter", with_part(lambda: nn.Parameter(torch.zeros(0))))
built("unused_parameter", with_part(lambda: nn.Parameter(torch.zeros(8, 8))))
built("unused_lazy", with_part(lambda: nn.LazyLinear(3)))
built("itself", lambda: nn.ModuleList([Base()]))


@entered
def required(_first: int) -> nn.Module:
    return Base()


@entered
def without_gradients(num_classes: int = CLASSES) -> nn.Module:
    torch.set_grad_enabled(False)
    return Base(num_classes)


@entered
def in_double(num_classes: int = CLASSES) -> nn.Module:
    torch.set_default_dtype(torch.float64)
    return Base(num_classes)


@entered
def strict_about_warnings(num_classes: int = CLASSES) -> nn.Module:
    warnings.simplefilter("error")
    return Base(num_classes)


@entered
def hooked(num_classes: int = CLASSES) -> nn.Module:
    model = Base(num_classes)
    model.a.register_forward_hook(lambda *_: raising(RuntimeError("hooked")))
    return model


@entered
def renamed(num_classes: int = CLASSES) -> nn.Module:
    model = Base(num_classes)
    model.add_module("weird name\n🙂", nn.Conv2d(8, 8, 1))
    return model


number = 3
"""No function at all."""
