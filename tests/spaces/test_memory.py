"""Activation memory: by hand, and as a real pass of the sliced network holds it."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from networks import SMALL
from torch import Tensor, nn
from torch._C import DisableTorchFunctionSubclass
from torch.overrides import TorchFunctionMode

import spaces
from spaces import Space
from spaces.memory import activation_memory
from spaces.space import slice_model


class Chain(nn.Module):
    """3 → a → b → 10 channels on 8×8 pixels, a residual from ``a`` around ``b``."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 1)
        self.back, self.out = nn.Conv2d(32, 16, 1), nn.Conv2d(16, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        return self.out(a + self.back(self.b(a).relu_())).mean((2, 3))


def found(model: nn.Module, side: int = 8) -> Space:
    space = spaces.discover(model, torch.zeros(1, 3, side, side))
    return replace(space, others={"memory": activation_memory(model, space)})


def test_by_hand() -> None:
    """The worst moment is while ``back`` is computed: input, ``a``, ``b`` and its own output; or,
    with few channels in between, while ``out`` is: ``a`` and ``x`` are still named."""
    space = found(Chain().eval())
    place = [g.name for g in space.groups].index
    for a, b in ((16, 32), (2, 4), (16, 4), (2, 32)):
        widths = np.zeros(2, dtype=int)
        widths[place("a")], widths[place("b")] = a, b
        pixels = max(3 + a + b + a, 3 + a + a + 10, 3 + a + a + a)
        assert space.cost("memory", widths) == 4 * 64 * pixels


class Counting(TorchFunctionMode):
    """After every function of torch: the bytes of all tensors that Python's collector knows."""

    def __init__(self) -> None:
        super().__init__()
        self._others = [each for each in gc.get_objects() if type(each) is Tensor]
        self._before = {*map(id, self._others)}  # they stay alive: no other gets the id of one
        self.most = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        with DisableTorchFunctionSubclass():
            every = (each for each in gc.get_objects() if type(each) is Tensor)
            storages = [t.untyped_storage() for t in every if id(t) not in self._before]
            alive = {storage.data_ptr(): storage.nbytes() for storage in storages}
        self.most = max(self.most, sum(alive.values()))
        return result


@pytest.mark.parametrize("name", ["ChannelShuffle", "Concat", "Depthwise", "Grouped"])
def test_as_python_sees_it_in_a_sliced_network(name: str) -> None:
    torch.manual_seed(0)
    model, rng = SMALL[name]().eval(), np.random.default_rng(0)
    space, example = found(model), torch.zeros(1, 3, 8, 8)
    for _ in range(2):
        widths = np.array([rng.choice(g.choices) for g in space.groups])
        keep = {g.name: np.arange(w) for g, w in zip(space.groups, widths, strict=True)}
        small = slice_model(model, space, keep).eval()
        with torch.no_grad(), Counting() as seen:
            small(example)
        assert space.cost("memory", widths) == seen.most + example.nbytes


def test_every_policy_keeps_a_limit_of_memory() -> None:
    space = found(Chain().eval())
    low, full = (space.cost("memory", w) for w in (space.lattice.low, space.lattice.top))
    limited = space.limited([f"memory={0.3 + 0.7 * low / full:.3f}"])
    limit = limited.limit(limited.limits[0])
    for seed in range(10):
        proposal = np.random.default_rng(seed).uniform(1, 32, 2)
        widths = limited.project(proposal, 0.9)
        assert limited.cost("memory", widths) <= limit
    assert space.cost("memory", space.uniform(0.9)) > limit
    terms = {g.name: np.linspace(1, 0, len(g.choices)) for g in limited.groups}
    assert limited.meets(limited.solve_and_fill(terms, 0.9).widths, 0.9)
