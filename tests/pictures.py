"""Pictures that are painted but not rendered, as that takes a second a report; tests of the report,
of the README and of random command lines render theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from matplotlib.figure import Figure


@contextmanager
def unrendered() -> Iterator[None]:
    """Every figure is saved as an empty SVG."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "savefig", _empty)
        yield


def _empty(_figure: Figure, file: Any, **_options: Any) -> None:
    file.write('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>')
