"""Reports without pictures, as these take longer than many a small search; tests of the report, of
the README and of random command lines have theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules

import pytest

from results.reporting import plots


@contextmanager
def undrawn() -> Iterator[None]:
    """Every picture is an empty SVG."""
    with pytest.MonkeyPatch.context() as patched:
        for found in iter_modules(plots.__path__, f"{plots.__name__}."):
            if hasattr(module := import_module(found.name), "draw"):
                patched.setattr(module, "draw", _empty)
        yield


def _empty(*_: object) -> str:
    return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
