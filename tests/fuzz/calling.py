"""One command line run in this process, and what must hold of it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fuzz.commands import drawn
from fuzz.folders import furnished
from search.cli import main
from search.errors import NOTHING
from search.flags import USER_ERROR

CODES = 0, 1, USER_ERROR, NOTHING, 130
PROGRESS = re.compile(
    r"(forecast: |discovering what can be pruned in |"
    r"(trials|trainings|training the baseline|decoding the images) \d+/\d+ "
    r"|\d+ trials? (is|are) (too )?few: |looking$|the weights are |going on with the run "
    r"|--full would add |left out of --full: |warning: |and \d+ more$"
    r"|.+ could not be trained with seed \d+: |where a final training diverged, )"
)
"""What a search says while it is at work, and a model that prints."""

LAST = ("error: ", "stopped: ", "interrupted", "nothing ")
"""How the line begins that says why a command did not do what was asked."""


class CommandLines:
    """Random command lines by their seeds, all run in one folder that is furnished for them."""

    name = "command lines"

    def __init__(self, folder: Path) -> None:
        self.folder = furnished(folder)

    def check(self, seed: int) -> str:
        """As ``check``."""
        return check(drawn(seed), self.folder)

    def describe(self, seed: int) -> str:
        """What to type."""
        return f"python search.py {shlex.join(drawn(seed))}"


@dataclass(frozen=True)
class Called:
    """What a command line gave."""

    code: object
    out: str
    err: str


def called(arguments: Sequence[str], folder: Path) -> Called:
    """Run it in ``folder``; what user code changes of torch and of Python is put back."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _put_back(folder):
        try:
            code: object = main(arguments)
        except SystemExit as end:  # argparse's; user code's must not get here
            code = end.code
    return Called(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _put_back(folder: Path) -> Iterator[None]:
    before, path = os.getcwd(), list(sys.path)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    os.chdir(folder)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.chdir(before)
        sys.path[:] = path
        torch.set_grad_enabled(True)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


def check(arguments: Sequence[str], folder: Path) -> str:
    """Run it; its exit code in a word.

    Raises:
        AssertionError: another exit code, a traceback, or more than one line about the failure.
    """
    came = called(arguments, folder)
    assert came.code in CODES, f"exit code {came.code!r}"
    assert "Traceback" not in came.err + came.out, came.err
    lines = [line for line in came.err.split("\n")[:-1] if not PROGRESS.match(line)]
    said = [line for line in lines if line.startswith(LAST)]
    if came.code == 0:
        assert not said, came.err
    else:
        assert came.err.endswith("\n"), "the last line does not end"
        assert said == lines == lines[-1:], f"not one line: {came.err!r}"
        assert "internal error" not in came.err, came.err
    return f"exit {came.code}"
