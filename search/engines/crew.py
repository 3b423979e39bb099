"""Where rungs are measured: in this process, or in worker processes that may die."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Protocol

import torch

from results.record import TrialRecord
from search.trial import Climb, Failure, Outcome


class Crew(Protocol):
    """Takes trials and hands back what one rung of each gave.

    >>> with crew(2, climb) as hands:
    ...     hands.begin(record)
    ...     record, outcome = hands.finished()
    """

    @property
    def idle(self) -> bool:
        """Whether another trial can begin."""
        ...

    @property
    def busy(self) -> bool:
        """Whether some trial's rung is still to come back."""
        ...

    def begin(self, record: TrialRecord) -> None: ...

    def finished(self) -> tuple[TrialRecord, Outcome]:
        """The next rung that is done; waits for it."""
        ...

    def __enter__(self) -> Crew: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def crew(workers: int, climb: Climb) -> Crew:
    """One worker is this process itself; more are processes with one torch thread each."""
    return Alone(climb) if workers == 1 else Processes(workers, climb)


class Alone:
    """This process."""

    def __init__(self, climb: Climb) -> None:
        self._climb = climb
        self._record: TrialRecord | None = None

    @property
    def idle(self) -> bool:
        return self._record is None

    @property
    def busy(self) -> bool:
        return self._record is not None

    def begin(self, record: TrialRecord) -> None:
        self._record = record

    def finished(self) -> tuple[TrialRecord, Outcome]:
        assert self._record is not None
        record, self._record = self._record, None
        return record, _measure(self._climb, record)

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Processes:
    """Worker processes, each with its own pipe, so that it is known whose trial a death ends."""

    def __init__(self, workers: int, climb: Climb) -> None:
        # Plain pickle copies the tensors. torch's own would share them through /dev/shm, which
        # containers keep at 64 MB.
        self._climb, self._payload = climb, pickle.dumps(climb)
        self._workers = [_Worker(self._payload) for _ in range(workers)]

    @property
    def idle(self) -> bool:
        return any(worker.record is None for worker in self._workers)

    @property
    def busy(self) -> bool:
        return any(worker.record is not None for worker in self._workers)

    def begin(self, record: TrialRecord) -> None:
        worker = next(worker for worker in self._workers if worker.record is None)
        worker.begin(record)

    def finished(self) -> tuple[TrialRecord, Outcome]:
        working = [worker for worker in self._workers if worker.record is not None]
        ready = wait([worker.pipe for worker in working])
        worker = next(worker for worker in working if worker.pipe in ready)
        record, outcome = worker.finish()
        if outcome is None:
            outcome = worker.obituary(self._climb.next_rung(record))
            self._workers[self._workers.index(worker)] = _Worker(self._payload)
        return record, outcome

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()


class _Worker:
    def __init__(self, payload: bytes) -> None:
        context = multiprocessing.get_context("spawn")  # forking a process that uses torch hangs
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, payload), daemon=True)
        with _ctrl_c_waits():
            self.process.start()
        theirs.close()  # so that its death ends the pipe
        self.record: TrialRecord | None = None
        self.since = 0.0

    def begin(self, record: TrialRecord) -> None:
        self.record, self.since = record, time.perf_counter()
        with suppress(BrokenPipeError):  # it died idle; finish() will say so
            self.pipe.send(record)

    def finish(self) -> tuple[TrialRecord, Outcome | None]:
        assert self.record is not None
        record, self.record = self.record, None
        try:
            return record, self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return record, None

    def obituary(self, rung: int) -> Outcome:
        self.pipe.close()
        self.process.join()
        code = self.process.exitcode or 0
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = " (out of memory?)" if cause == "SIGKILL" else ""
        failure = Failure("worker died", f"the worker process died: {cause}{hint}")
        return Outcome(rung, time.perf_counter() - self.since, failure=failure)


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C is heard only afterwards; a worker born in here never hears it, imports included.

    Interrupted while it hands over the payload, the parent would leave a worker with half of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say so
        return
    resource_tracker.ensure_running()  # it unblocks SIGINT when it starts
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the child inherits it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if came and callable(before):
        before(signal.SIGINT, None)


def _work(pipe: Connection, payload: bytes) -> None:
    """The worker's life: measure what comes down the pipe until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    climb: Climb = pickle.loads(payload)
    with suppress(EOFError):
        while True:
            pipe.send(_measure(climb, pipe.recv()))


def _die_with_parent() -> None:
    """A killed parent leaves nobody to send the result to; do not train on for it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _measure(climb: Climb, record: TrialRecord) -> Outcome:
    return climb.rung(record.policy, climb.next_rung(record), record.seed)
