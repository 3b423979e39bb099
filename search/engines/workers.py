"""Where the local engine does its jobs: in this process, or in workers of its own, which may die.

A job is a trial whose next rung is to be measured, or a network to be trained to the end.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.util import Finalize
from typing import Any, Generic, Self, TypeVar

import torch

from search.evaluation.jobs import Failure
from search.interrupt import ENDING, handling
from spaces.errors import UserError, in_one_line

DIED = "worker died"
"""The kind of failure of a job whose worker died."""

Job = TypeVar("Job")
Result = TypeVar("Result")


class Pool(Generic[Job, Result]):
    """Takes jobs and hands back their results; this one has a single worker, this process.

    >>> with Pool(evaluator.train_final) as pool:
    ...     for job, result in pool.results(lambda: next(jobs, None)): ...

    Args:
        run: does a job. It never raises: what goes wrong is part of the result.
    """

    def __init__(self, run: Callable[[Job], Result]) -> None:
        self._run = run
        self._jobs: list[Job] = []

    @property
    def idle(self) -> bool:
        """Whether another job can begin."""
        return not self._jobs

    @property
    def busy(self) -> bool:
        """Whether the result of some job is still to come."""
        return bool(self._jobs)

    def begin(self, job: Job) -> None:
        """Give the job to an idle worker."""
        self._jobs.append(job)

    def finished(self) -> tuple[Job, Result]:
        """Wait for the next job that is done."""
        job = self._jobs.pop()
        return job, self._run(job)

    def results(self, following: Callable[[], Job | None]) -> Iterator[tuple[Job, Result]]:
        """The jobs as they are done, until there is no ``following`` one and none is under way."""
        while True:
            while self.idle and (job := following()) is not None:
                self.begin(job)
            if not self.busy:
                return
            yield self.finished()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all workers, whatever they do."""


class Processes(Pool[Job, Result]):
    """Worker processes with one torch thread each, and one pipe each, so that it is known which
    job a death ends. That job has failed, and a new worker takes the place of the dead one.

    A worker starts when there is a job for it and no other is idle.

    Args:
        workers: the most that run at once.
        run: can be pickled; each worker receives it once.
        failed: the result of a job whose worker died, from the reason and the seconds it took.

    Raises:
        UserError: ``run`` cannot be pickled, as a loss that is a lambda cannot.
    """

    def __init__(
        self,
        workers: int,
        run: Callable[[Job], Result],
        failed: Callable[[Job, Failure, float], Result],
    ) -> None:
        # Plain pickle copies the tensors. torch's own would share them through /dev/shm, which
        # containers keep at 64 MB.
        super().__init__(run)
        must = "a task that several workers share must be picklable, but that fails with"
        with in_one_line(UserError, must, "define its functions at the top of a module"):
            self._payload = pickle.dumps(run)
        self._failed, self._most = failed, workers
        self._workers: list[_Worker[Job, Result]] = []

    @property
    def idle(self) -> bool:
        return len(self._workers) < self._most or any(worker.idle for worker in self._workers)

    @property
    def busy(self) -> bool:
        return not all(worker.idle for worker in self._workers)

    def begin(self, job: Job) -> None:
        worker = next((worker for worker in self._workers if worker.idle), None)
        if worker is None:
            worker = _Worker(self._payload)
            self._workers.append(worker)
        worker.begin(job)

    def finished(self) -> tuple[Job, Result]:
        working = [worker for worker in self._workers if not worker.idle]
        ready = wait([worker.pipe for worker in working])
        worker = next(worker for worker in working if worker.pipe in ready)
        job, result = worker.finish()
        if result is None:
            seconds = time.perf_counter() - worker.since
            result = self._failed(job, worker.reap(), seconds)
            self._workers.remove(worker)
        return job, result

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()


class _Worker(Generic[Job, Result]):
    def __init__(self, payload: bytes) -> None:
        context = _context()
        self.pipe, child_end = context.Pipe()
        arguments = (child_end, dict(os.environ))
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        with _signals_wait():
            self.process.start()
        # Python itself would end it by SIGTERM, which it ignores, and wait for it.
        Finalize(self, self.process.kill, exitpriority=0)
        child_end.close()  # so that its death ends the pipe
        self._payload: list[bytes] = [payload]
        self._jobs: list[Job] = []
        self.since = 0.0  # when its last job began

    @property
    def idle(self) -> bool:
        return not self._jobs

    def begin(self, job: Job) -> None:
        self._jobs, self.since = [job], time.perf_counter()
        with suppress(OSError):  # the worker is dead; finish() will say so
            # Sent now, not given to Process: that would wait for ever if the process were killed
            # before it has read it.
            while self._payload:
                self.pipe.send_bytes(self._payload.pop())
            _send(self.pipe, job)

    def finish(self) -> tuple[Job, Result | None]:
        """The job it had and the result; None if it died."""
        job = self._jobs.pop()
        try:
            return job, _received(self.pipe)
        except (EOFError, OSError):  # the latter if it died while it sent the result
            return job, None

    def reap(self) -> Failure:
        """Release what the dead process leaves behind; why it died."""
        self.pipe.close()
        self.process.join()
        code = self.process.exitcode or 0
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = " (out of memory?)" if cause == "SIGKILL" else ""
        return Failure(DIED, f"the worker process died: {cause}{hint}")


def warm_up() -> None:
    """Begin to import what workers need, in another process, while this one goes on."""
    if _context().get_start_method() == "forkserver":
        with _signals_wait():
            forkserver.ensure_running()


def _context() -> SpawnContext | ForkServerContext:
    """How workers start. On Linux they are forks of a server process that has imported what they
    need and done nothing else, so starting one takes no time. Forks of this process would hang, as
    it uses torch."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # torch imports its compiler with the first optimizer: for longer than a brief training takes.
    context.set_forkserver_preload(["search.evaluation.evaluator", __name__, "torch._dynamo"])
    return context


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM to the end of the block; a worker that starts in it never receives
    them, though a terminal or a cluster sends them to all processes of the run.

    Raised while a process starts, they would leave an orphan.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # it unblocks both when it starts
    came: list[int] = []
    with handling(lambda number, _frame: came.append(number), *ENDING):
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # the child inherits it
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number in came[:1]:
        os.kill(os.getpid(), number)


def _serve(pipe: Connection, environment: dict[str, str]) -> None:
    """A worker: run the jobs that come down the pipe until the parent is gone."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)  # they are the parent's business
    os.environ.clear()  # the server's is as old as the server
    os.environ.update(environment)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        run = _received(pipe)
        while True:
            _send(pipe, run(_received(pipe)))


def _die_with_parent() -> None:
    """End with the parent, even in the middle of a training: a killed parent reads no result."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _send(pipe: Connection, message: object) -> None:
    pipe.send_bytes(pickle.dumps(message))  # pipe.send would use torch's own pickling


def _received(pipe: Connection) -> Any:
    return pickle.loads(pipe.recv_bytes())
