"""Timed passes: whole ones, and in parts, from moment to moment, without taking them apart.

A moment is the begin of the pass, its end, or that of a module with channels that can be cut. So
whatever lies between two layers is timed too, and each layer finds the caches as in any pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from spaces.inputs import Inputs, call, tensors

Moment = tuple[str, str]
"""A module's name and ``begin`` or ``end``; the name is empty for the whole network."""

LEAST, MOST = 3, 25
"""Turns of each network."""


@torch.inference_mode()
def timed(
    networks: Sequence[nn.Module], modules: Collection[str], inputs: Inputs, seconds: float
) -> tuple[np.ndarray, np.ndarray, list[Moment]]:
    """Nanoseconds of every network, in turns, each after a pass that is not counted.

    Args:
        networks: of one architecture, in eval mode, on the device of ``inputs``.
        modules: whose begins and ends are moments.
        seconds: for all of it; `LEAST` turns are made whatever they take.

    Returns:
        ``(turns, networks)`` of whole passes, ``(turns, networks, parts)`` of the parts between
        moments, and the moments, one more than the parts.
    """
    clock = _Clock(tensors(inputs)[0].is_cuda)
    whole: list[list[int]] = []
    parts: list[list[list[int]]] = []
    seen: list[Moment] = []
    ends = time.perf_counter() + seconds
    for turn in range(MOST):
        if turn >= LEAST and time.perf_counter() > ends:
            break
        whole.append([])
        parts.append([])
        for network in networks:
            call(network, inputs)
            whole[-1].append(clock.whole(partial(call, network, inputs)))
            with _told(network, modules, clock.tick) as moments:
                parts[-1].append(clock.parts(partial(call, network, inputs)))
            seen = [("", "begin"), *moments, ("", "end")]
    return np.array(whole), np.array(parts), seen


def repeated(example: Inputs, batch: int, device: torch.device) -> Inputs:
    """A batch of one item over and over, on a device."""

    def repeat(values: Tensor) -> Tensor:
        values = values.to(device)
        return values.repeat(batch, *[1] * (values.dim() - 1)) if values.dim() else values

    return tree_map_only(Tensor, repeat, example)


@contextmanager
def _told(
    network: nn.Module, modules: Collection[str], tick: Callable[[], None]
) -> Iterator[list[Moment]]:
    """The moments of a pass in the block, in order; ``tick`` is called at each."""
    moments: list[Moment] = []

    def tell(name: str, when: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            tick()
            moments.append((name, when))

        return hook

    handles = []
    for name, module in network.named_modules():
        if name in modules:
            handles.append(module.register_forward_pre_hook(tell(name, "begin")))
            handles.append(module.register_forward_hook(tell(name, "end")))
    try:
        yield moments
    finally:
        for handle in handles:
            handle.remove()


class _Clock:
    """Times between ticks: of the processor, or of the GPU by its events."""

    def __init__(self, on_cuda: bool) -> None:
        self._on_cuda = on_cuda
        self._ticks: list[Any] = []

    def tick(self) -> None:
        """Note the time."""
        if self._on_cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._ticks.append(event)
        else:
            self._ticks.append(time.perf_counter_ns())

    def whole(self, work: Callable[[], Any]) -> int:
        """Nanoseconds of ``work`` until nothing of it is left to do."""
        self._wait()
        began = time.perf_counter_ns()
        work()
        self._wait()
        return time.perf_counter_ns() - began

    def parts(self, work: Callable[[], Any]) -> list[int]:
        """Nanoseconds from the begin of ``work`` over its ticks to its end."""
        self._ticks = []
        self._wait()
        self.tick()
        work()
        self.tick()
        self._wait()
        pairs = zip(self._ticks, self._ticks[1:], strict=False)
        if self._on_cuda:
            return [round(1e6 * one.elapsed_time(other)) for one, other in pairs]
        return [other - one for one, other in pairs]

    def _wait(self) -> None:
        if self._on_cuda:
            torch.cuda.synchronize()
