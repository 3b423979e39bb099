"""The user's functions, named on the command line as ``package.module:function``."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from spaces.errors import UserError, blamed


def resolve(spec: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names.

    Modules of the working directory are found too, after all installed ones.

    Raises:
        UserError: no such module, an error in its import, no such function.
    """
    module, name = _module(spec)
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(
            f"{spec!r} must name a function, but {module.__name__!r} has none named {name!r}"
        )
    return function


def attribute(spec: str) -> Any:
    """The object, of any kind, that ``package.module:name`` names.

    Raises:
        UserError: as `resolve`, but it need not be a function.
    """
    module, name = _module(spec)
    if not hasattr(module, name):
        raise UserError(
            f"{spec!r} must name something, but {module.__name__!r} has none named {name!r}"
        )
    return getattr(module, name)


def _module(spec: str) -> tuple[ModuleType, str]:
    """The module of a name, and the name in it."""
    module_name, _, name = spec.partition(":")
    if os.getcwd() not in sys.path:  # a console script does not search the working directory
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{spec!r} must name a function as package.module:function, but importing "
            f"{module_name!r} failed with {blamed(error)}; run from the folder that holds it"
        ) from error
    return module, name


def call(spec: str, **optional: Any) -> Any:
    """Call the function with those of ``optional`` that its signature accepts by name.

    Raises:
        UserError: as ``resolve``, or the function raised.
    """
    function = resolve(spec)
    try:
        return function(**_accepted(function, optional))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{spec!r} must return, but it failed with {blamed(error)}") from error


def taken(spec: str, *names: str) -> set[str]:
    """Those of the names that the function's signature accepts.

    Raises:
        UserError: as ``resolve``.
    """
    return set(_accepted(resolve(spec), dict.fromkeys(names)))


def _accepted(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return {}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return arguments
    return {name: value for name, value in arguments.items() if name in parameters}
