"""What records the work of a step and replays it: on CUDA, a graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from search.training.host_state import host_draws

T = TypeVar("T")

WAITED = "called a synchronizing CUDA operation"
"""As torch warns of it."""


class Recorder(Protocol):
    """Records operations, and repeats them on the same tensors."""

    def aside(self, work: Callable[[], T]) -> T:
        """Do the work as it will be recorded later."""
        ...

    def watched(self, work: Callable[[], T]) -> tuple[T, str]:
        """The same, and why it cannot be recorded; empty if nothing speaks against it."""
        ...

    def record(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """Record the work without doing it; what it gives, and what does it.

        Raises:
            Exception: whatever; no tensor and no random state has changed then.
        """
        ...


class CudaGraph:
    """A `Recorder` of one device, on a stream of its own, as CUDA asks for."""

    def __init__(self, device: torch.device) -> None:
        index = torch.cuda.current_device() if device.index is None else device.index
        self._device = torch.device("cuda", index)
        self._stream = torch.cuda.Stream(self._device)

    def aside(self, work: Callable[[], T]) -> T:
        """On that stream, and what follows on the current one waits for it."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = work()
        current.wait_stream(self._stream)
        return result

    def watched(self, work: Callable[[], T]) -> tuple[T, str]:
        """The same; a recording has no waiting for the device and no random numbers of the host."""
        drawn = host_draws()
        with _waits() as waited:
            result = self.aside(work)
        if waited:
            return result, f"a step waits for the device at {waited[0]}"
        return result, "" if host_draws() == drawn else "a step draws random numbers on the host"

    def record(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """In a graph with memory of its own, which is freed with what replays it."""
        generator = torch.cuda.default_generators[self._device.index]
        before, current = generator.clone_state(), torch.cuda.current_stream(self._device)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads, that which pins memory for a loader say, go on meanwhile.
            with (
                torch.cuda.device(self._device),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                result = work()
        except BaseException:
            # torch leaves the stream current and the generator in the middle of a recording, where
            # nothing can be drawn from it.
            torch.cuda.set_stream(current)
            generator.graphsafe_set_state(before)
            raise
        return result, graph.replay


@contextmanager
def _waits() -> Iterator[list[str]]:
    """Where the host waits for the device, ``model.py, line 12``; filled when the block ends."""
    places: list[str] = []
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            torch.cuda.set_sync_debug_mode("warn")
            yield places
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for each in told:
        if WAITED in str(each.message):
            places.append(f"{Path(each.filename).name}, line {each.lineno}")
        elif "prototype" not in str(each.message):  # of torch, on this mode
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
