"""Independent opinions that tests hold the project against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import spaces
from prune_ops.contributions import Layer, Sample
from spaces.counters import _fvcore
from spaces.masked import MaskedReference, relative_error
from spaces.trace import trace


def random_selection(
    space: spaces.Space, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Random lattice widths ``(G,)``, and random channels of that number."""
    widths = np.array([rng.choice(g.choices) for g in space.groups])
    selection = {
        g.name: np.sort(rng.permutation(g.channels)[:w])
        for g, w in zip(space.groups, widths, strict=True)
    }
    return widths, selection


def randomise(model: nn.Module) -> None:
    """Statistics, norms and scales that hide nothing: no zero gamma, no layer scale of 1e-6."""
    with torch.no_grad():
        for name, tensor in model.named_buffers():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5) if name.endswith("var") else tensor.uniform_(-0.1, 0.1)
        for name, tensor in model.named_parameters():
            if tensor.dim() == 1 or "scale" in name:
                tensor.uniform_(-0.1, 0.1) if name.endswith("bias") else tensor.uniform_(0.5, 1.5)


def every_output(layer: Layer, _count: object = None, _generator: object = None) -> Sample:
    """In place of ``sampled``: all outputs, each once."""
    sizes = (len(layer.inputs), layer.outputs, *layer.positions)
    item, channel, *position = torch.cartesian_prod(*(torch.arange(size) for size in sizes)).T
    return Sample(item, channel, tuple(position))


def check_surgery(
    model: nn.Module,
    inputs: tuple[Any, ...],
    policies: int,
    uncounted: int | Callable[[Any], int] = 0,
    by_fvcore: int | None = None,
) -> spaces.Space:
    """Random policies: flops equal fvcore's, params the real number, sliced equals masked.

    Args:
        uncounted: flops of operations that fvcore does not count, worked out by hand, of any or of
            a certain pruned network.
        by_fvcore: it counts so many of the policies, as it takes longest, and torch's own counter
            all; else it counts all.
    """
    randomise(model)
    model.eval()
    traced = trace(model, inputs)
    with pytest.MonkeyPatch.context() as patched:  # tracing takes as long as all the rest
        patched.setattr("spaces.space.trace", lambda *_: traced)
        space = spaces.discover(model, inputs)
    rng = np.random.default_rng(0)
    for number in range(policies):
        widths, selection = random_selection(space, rng)
        small = spaces.slice_model(model, space, selection).eval()
        assert space.params(widths) == sum(p.numel() for p in small.parameters())
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            got = small(*inputs)
        wanted = MaskedReference(traced, space.groups, selection)(*inputs)
        assert relative_error(got, wanted) < 1e-4
        if by_fvcore is not None:
            assert space.flops(widths) == counter.get_total_flops() // 2
        if by_fvcore is None or number < by_fvcore:
            counted = _fvcore(small, inputs).total  # needs no copy of what is not used any more
            by_hand = uncounted(small) if callable(uncounted) else uncounted
            assert space.flops(widths) == counted + by_hand
    return space
