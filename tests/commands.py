"""Command lines as processes of their own, which need not import torch first, as that takes longer
than most of them: forks of a server that has imported it and done nothing else.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from threading import RLock

from pictures import undrawn
from tqdm import tqdm

ROOT = Path(__file__).parents[1]

PRELOADED = [
    *("search.commands", "search.evaluation.evaluator", "results.reporting.sections"),
    *("torch.export._trace", "torch._dynamo"),
    *("sklearn.datasets", "sklearn.model_selection", "matplotlib.backends.backend_svg"),
    *("optuna.storages._rdb.storage", "sqlalchemy.dialects.sqlite", "sqlalchemy.orm"),
    *("alembic.command", "fvcore.nn", "pyarrow.parquet"),
    "frozen",
]
"""What a search imports sooner or later; then no more is looked for garbage."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(PRELOADED)


class Command:
    """A process in a session of its own; it is asked and told as a ``subprocess.Popen`` is. Its
    report has no pictures.

    >>> command = Command(["--resume", str(folder)])
    >>> output, errors = command.communicate(timeout=900)

    Args:
        environment: what it has beyond this process's variables.
        main: what runs there, as ``module.function``; its result is the exit code. It is imported
            when the variables are set.
        where: the folder that it works in.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        main: str = "search.cli.main",
        where: Path = ROOT,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._written = [Path(self._folder.name) / name for name in ("output", "errors")]
        variables = {**os.environ, **(environment or {})}
        given = (main, list(arguments), variables, where, self._written)
        for path in self._written:
            path.touch()
        self._process = _CONTEXT.Process(target=_run, args=given)
        self._process.start()
        atexit.register(self.kill)  # else the end of the tests would wait for it

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Until it ends; raises ``subprocess.TimeoutExpired``."""
        self._process.join(timeout)
        code = self.returncode
        if code is None:
            raise subprocess.TimeoutExpired("search.py", timeout or 0.0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote to stdout and stderr until its end."""
        self.wait(timeout)
        output, errors = (path.read_text() for path in self._written)
        return output, errors

    @property
    def errors(self) -> str:
        """What it has written to stderr so far."""
        return self._written[1].read_text()

    def send_signal(self, number: int) -> None:
        """To the process alone."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def send_group(self, number: int) -> None:
        """To all of its group that is left, as a terminal does."""
        while os.getpgid(self.pid) != self.pid:
            time.sleep(0.01)  # it is only just beginning, and has no group of its own yet
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, to the process alone."""
        self.send_signal(signal.SIGKILL)


def program(
    code: str, *arguments: str, where: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Command:
    """What ``python -c code arguments`` would run."""
    return Command([code, *arguments], environment, f"{__name__}.{_execute.__name__}", where)


def _execute(arguments: Sequence[str]) -> int:
    code, *sys.argv[1:] = arguments
    exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})
    return 0


def _run(
    main: str,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    where: Path,
    written: Sequence[Path],
) -> None:
    os.setsid()
    tqdm.set_lock(RLock())  # its own is a semaphore that is left if the process is killed
    blocked = {signal.SIGINT, signal.SIGTERM}  # where workers start
    signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    for stream, path in zip((1, 2), written, strict=True):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, stream)
        os.close(opened)
    os.chdir(where)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["search.py", *arguments]
    module, _, function = main.rpartition(".")
    with undrawn():
        sys.exit(getattr(import_module(module), function)(arguments))
