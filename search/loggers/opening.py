"""The loggers that a run is given, by name or as objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search import callables
from search.loggers import LOGGERS, NONE
from search.loggers.logger import Logger
from spaces.errors import UserError, brief


def loggers_of(names: Sequence[str], given: Sequence[Any] = ()) -> list[Logger]:
    """Make the loggers of these names; those that are given come first.

    Raises:
        UserError: a package is not installed, or something is no `Logger`.
    """
    made = [_made(name) for name in names if name != NONE]
    for logger in given:
        if not isinstance(logger, Logger):
            raise UserError(
                f"loggers must be objects of search.Logger, but one is of {type(logger).__name__}; "
                "let its class inherit from search.Logger"
            )
    return [*given, *made]


def _made(name: str) -> Logger:
    if name not in LOGGERS:
        logger = callables.call(name)
        if not isinstance(logger, Logger):
            raise UserError(
                f"{name!r} must return a search.Logger, but it returned {type(logger).__name__}"
            )
        return logger
    try:
        made: Logger = LOGGERS[name]()
        return made
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != name:
            raise
        raise UserError(
            f"--log {name} needs the package {name}, which is not installed; "
            f"pip install -e '.[{name}]'"
        ) from None
    except ImportError as error:
        raise UserError(
            f"--log {name} needs the package {name}, but importing it failed with {brief(error)}; "
            f"pip install -e '.[{name}]'"
        ) from error
