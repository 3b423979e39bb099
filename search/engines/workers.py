"""Worker processes, which may die: from being told what the work is to their obituary."""

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
from typing import Any, Generic

import torch

from search.engines.crew import Crew, J, O, Work
from search.evaluation.jobs import Failure

DIED = "worker died"
"""The kind of failure of a job whose worker died."""


class Processes(Crew[J, O]):
    """Worker processes with one torch thread each, each with its own pipe, so that it is known
    whose job a death ends.

    >>> with Processes(2, Rungs(climb)) as crew:
    ...     crew.begin(record)
    ...     record, outcome = crew.finished()
    """

    def __init__(self, workers: int, work: Work[J, O]) -> None:
        # Plain pickle copies the tensors. torch's own would share them through /dev/shm, which
        # containers keep at 64 MB.
        self._work, self._payload = work, pickle.dumps(work)
        self._workers = [_Worker[J, O](self._payload) for _ in range(workers)]

    @property
    def idle(self) -> bool:
        return any(worker.idle for worker in self._workers)

    @property
    def busy(self) -> bool:
        return not all(worker.idle for worker in self._workers)

    def begin(self, job: J) -> None:
        next(worker for worker in self._workers if worker.idle).begin(job)

    def finished(self) -> tuple[J, O]:
        working = [worker for worker in self._workers if not worker.idle]
        ready = wait([worker.pipe for worker in working])
        worker = next(worker for worker in working if worker.pipe in ready)
        job, result = worker.finish()
        if result is None:
            result = self._work.failed(job, worker.obituary(), worker.seconds)
            self._workers[self._workers.index(worker)] = _Worker(self._payload)
        return job, result

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()


class _Worker(Generic[J, O]):
    def __init__(self, payload: bytes) -> None:
        context = multiprocessing.get_context("spawn")  # forking a process that uses torch hangs
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_live, args=(theirs,), daemon=True)
        with _ctrl_c_waits():
            self.process.start()
        theirs.close()  # so that its death ends the pipe
        self._payload: list[bytes] = [payload]
        self._jobs: list[J] = []
        self._since = 0.0

    @property
    def idle(self) -> bool:
        return not self._jobs

    @property
    def seconds(self) -> float:
        """Since its last job began."""
        return time.perf_counter() - self._since

    def begin(self, job: J) -> None:
        self._jobs, self._since = [job], time.perf_counter()
        with suppress(OSError):  # it is dead; finish() will say so
            # Not before it has started: what Process itself hands over would wait for ever if the
            # process were killed before it has read it.
            while self._payload:
                self.pipe.send_bytes(self._payload.pop())
            _send(self.pipe, job)

    def finish(self) -> tuple[J, O | None]:
        """The job it had; without an outcome if it died."""
        job = self._jobs.pop()
        try:
            return job, _received(self.pipe)
        except (EOFError, OSError):  # the latter in the middle of its answer
            return job, None

    def obituary(self) -> Failure:
        self.pipe.close()
        self.process.join()
        code = self.process.exitcode or 0
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = " (out of memory?)" if cause == "SIGKILL" else ""
        return Failure(DIED, f"the worker process died: {cause}{hint}")


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C is heard only afterwards; a worker born in here never hears it, imports included.

    Heard while a process starts, it would leave one that nobody knows of.
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


def _live(pipe: Connection) -> None:
    """The worker's life: do what comes down the pipe until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        work: Work[Any, Any] = _received(pipe)
        while True:
            _send(pipe, work.done(_received(pipe)))


def _die_with_parent() -> None:
    """A killed parent leaves nobody to send the result to; do not train on for it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _send(pipe: Connection, message: object) -> None:
    pipe.send_bytes(pickle.dumps(message))  # pipe.send would use torch's own way


def _received(pipe: Connection) -> Any:
    return pickle.loads(pipe.recv_bytes())
