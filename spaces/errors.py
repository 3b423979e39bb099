"""The errors a user can cause. Each message is one line: what must hold, what came, what to do."""

from __future__ import annotations

import difflib
import io
import logging
import re
import sysconfig
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

MANY = 12
"""Of more names than this only the nearest are listed."""
LONGEST = 200
"""Characters of another error's message that are told."""

OURS = [Path(__file__).parents[1] / name for name in ("spaces", "prune_ops", "results", "search")]
INSTALLED = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
SITES = {"site-packages", "dist-packages"}

_HEADER = "Traceback (most recent call last):"
_FRAME = re.compile(r'^ *File "(?P<file>.+)", line (?P<line>\d+)', re.MULTILINE)
_MODULES = re.compile(r"^(\w+\.)+(?=\w+(:|$))")


class UserError(ValueError):
    """What the user gave cannot be used; ``str(error)`` is one line fit for a terminal.

    Attributes:
        log: the file that has its traceback, if one does.
    """

    log: Path | None = None


class BudgetError(UserError):
    """The budget is not a budget, or no policy of the space can meet it."""


class ModelError(UserError):
    """The model cannot be traced or sliced."""


class UntraceableError(ModelError):
    """``torch.export`` cannot trace the model."""


class NothingToPruneError(ModelError):
    """Every channel of the model is frozen."""


class DataError(UserError):
    """Data or weights are missing, damaged or do not fit the model."""


def unknown(kind: str, name: str, options: Iterable[str]) -> UserError:
    """The error for a name that is not in a table, naming the nearest one.

    >>> str(unknown("sampler", "tpee", ["gp", "tpe"]))
    "unknown sampler 'tpee', did you mean 'tpe'? Known: gp, tpe"
    """
    known = sorted(options)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f", did you mean {near[0]!r}?" if near else "."
    if len(known) > MANY:
        listed = ", ".join(difflib.get_close_matches(name, known, n=MANY, cutoff=0.0))
        return UserError(f"unknown {kind} {name!r}{hint} Nearest of {len(known)}: {listed}")
    return UserError(f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}")


def brief(error: BaseException) -> str:
    """An exception as one short line: its kind and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:LONGEST]}" if lines else type(error).__name__


def blamed(error: BaseException) -> str:
    """As ``brief``, with the line of the user's own code that raised it, where there is one.

    >>> blamed(error)                                                   # doctest: +SKIP
    'OSError: truncated jpeg 123.jpg (mine/data.py, line 24)'

    What a worker of a ``DataLoader`` raised arrives as a text with a traceback in it: the error
    that the worker met is told, not the one that brings it here.
    """
    told, (_, header, inside) = brief(error), str(error).rpartition(_HEADER)
    if header:
        told = _ended_with(inside) or told
    line = users_line(error)
    return f"{told} ({line})" if line else told


def users_line(error: BaseException) -> str:
    """The line of the user's code that raised it, ``mine/data.py, line 24``; empty if ours did."""
    _, header, inside = str(error).rpartition(_HEADER)
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if header:
        frames = [(frame["file"], int(frame["line"])) for frame in _FRAME.finditer(inside)]
    written = [(Path(file), line) for file, line in frames if not _is_installed(Path(file))]
    if not written or any(map(written[-1][0].is_relative_to, OURS)):
        return ""
    (path, line), here = written[-1], Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}, line {line}"


def _ended_with(inside: str) -> str:
    """The error at the end of a traceback's text, what is not indented, as ``brief`` has it."""
    lines = [line for line in inside.strip("\n").splitlines() if line and not line[0].isspace()]
    return _MODULES.sub("", lines[0])[:LONGEST] if lines else ""


def _is_installed(path: Path) -> bool:
    inside = SITES & {*path.parts} or any(map(path.is_relative_to, INSTALLED))
    return bool(inside) or not path.is_absolute()


@contextmanager
def in_one_line(
    kind: type[UserError], must: str, hint: str = "", let: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Whatever the user's own code raises in the block comes out as one line of that kind.

    >>> with in_one_line(ModelError, "the model must run, but it fails with", "mend it"):
    ...     raise KeyError("x")
    Traceback (most recent call last):
    spaces.errors.ModelError: the model must run, but it fails with KeyError: 'x'; mend it

    Args:
        must: what must hold, up to the words before what came.
        let: passes as it is, as a ``UserError`` does.
    """
    passed: tuple[type[Exception], ...] = (UserError, *let)
    try:
        yield
    except passed:
        raise
    except Exception as error:  # it is anybody's code, and so is what it raises
        raise kind(f"{must} {blamed(error)}" + (f"; {hint}" if hint else "")) from error


@contextmanager
def quiet(package: str) -> Iterator[None]:
    """A library neither logs nor prints its own errors and warnings: ours say them in one line."""
    below = [name for name in logging.root.manager.loggerDict if name.startswith(f"{package}.")]
    # A logger without a level of its own has that of the next above; to set one takes long.
    own = [logger for logger in map(logging.getLogger, below) if logger.level]
    loggers = [logging.getLogger(package), *own]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
