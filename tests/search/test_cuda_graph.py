"""What is asked of CUDA to record a step, with a CUDA that only remembers: no GPU is needed.

``test_capture.py`` has the tests that need one.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from search.training.cuda_graph import WAITED, CudaGraph

NO_GPU = "ending a recording fails where something in it did"


class Stream:
    def __init__(self, name: str, calls: list[str]) -> None:
        self._name, self._calls = name, calls

    def wait_stream(self, other: Stream) -> None:
        self._calls.append(f"{self._name} waits for {other._name}")


class Generator:
    """State 7, until a recording that fails leaves it in the middle."""

    state = 7

    def clone_state(self) -> int:
        return self.state

    def graphsafe_set_state(self, state: int) -> None:
        self.state = state


class Cuda:
    """What was called, in order; the current stream, and a generator."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.own, self.outer = Stream("own", self.calls), Stream("outer", self.calls)
        self.current, self.generator = self.outer, Generator()
        self.mode: Any = 0
        fakes = {
            "Stream": lambda _: self.own,
            "current_stream": lambda _: self.current,
            "set_stream": lambda stream: setattr(self, "current", stream),
            "stream": self._stream,
            "device": lambda _: nullcontext(),
            "graph": self._graph,
            "CUDAGraph": lambda: self,
            "default_generators": (self.generator,),
            "get_sync_debug_mode": lambda: self.mode,
            "set_sync_debug_mode": lambda mode: setattr(self, "mode", mode),
        }
        for name, fake in fakes.items():
            patched.setattr(torch.cuda, name, fake, raising=False)

    @contextmanager
    def _stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextmanager
    def _graph(self, _graph: Cuda, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        self.calls.append(f"recorded {capture_error_mode}")
        self.current, self.generator.state = stream, -1
        try:
            yield
        except Exception:  # as torch does: neither stream nor generator is put back
            raise RuntimeError(NO_GPU) from None
        self.current, self.generator.state = self.outer, 7

    def replay(self) -> None:
        self.calls.append("replayed")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    return Cuda(monkeypatch)


def recorder() -> CudaGraph:
    return CudaGraph(torch.device("cuda", 0))


def test_warm_steps_run_on_a_stream_of_their_own_that_others_wait_for(cuda: Cuda) -> None:
    def work() -> str:
        assert cuda.current is cuda.own
        cuda.calls.append("work")
        return "done"

    assert recorder().aside(work) == "done"
    assert cuda.calls == ["own waits for outer", "work", "outer waits for own"]
    assert cuda.current is cuda.outer


def test_other_threads_may_use_cuda_while_it_records(cuda: Cuda) -> None:
    result, replay = recorder().record(lambda: torch.ones(()))
    assert result == 1
    replay()
    assert cuda.calls == ["recorded thread_local", "replayed"]


def test_a_recording_that_fails_leaves_stream_and_generator_as_they_were(cuda: Cuda) -> None:
    def work() -> Tensor:
        raise ValueError("not me")

    with pytest.raises(RuntimeError, match=NO_GPU):
        recorder().record(work)
    assert cuda.current is cuda.outer
    assert cuda.generator.state == 7


def test_where_it_waits_for_the_device_is_told_and_other_warnings_stay_warnings(
    cuda: Cuda,
) -> None:
    def work() -> int:
        assert cuda.mode == "warn"
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=1)
        warnings.warn_explicit(WAITED, UserWarning, "/mine/model.py", 12)
        warnings.warn("mine", UserWarning, stacklevel=1)
        return 3

    with pytest.warns(UserWarning, match="^mine$") as told:
        assert recorder().watched(work) == (3, "a step waits for the device at model.py, line 12")
    assert len(told) == 1
    assert cuda.mode == 0


@pytest.mark.usefixtures("cuda")
def test_a_step_that_draws_on_the_host_is_told() -> None:
    assert recorder().watched(lambda: 3) == (3, "")
    _, why = recorder().watched(random.random)
    assert why == "a step draws random numbers on the host"
