"""What a network can be exported as.

A format writes a network into a folder, and reads it back from there, in the runtime that it is
made for. ``FORMATS`` has those that ``--to`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

from search.exporting.subject import Subject
from spaces import UserError

Run = Callable[..., Any]
"""Takes what the network takes; gives its outputs, as the exported file computes them. They may be
in a flat list."""


class Format(Protocol):
    """One format.

    Attributes:
        title: what the card calls it.
        runtime: what reads it back.
        packages: that must be installed, besides those that this package needs.
        extra: which brings them.
        traced: whether it holds a trace of the network, which has a batch size.
    """

    title: ClassVar[str]
    runtime: ClassVar[str]
    packages: ClassVar[Sequence[str]] = ()
    extra: ClassVar[str] = ""
    traced: ClassVar[bool] = True

    def names(self, stem: str) -> list[str]:
        """The files it consists of, the one that is opened first."""

    def write(self, subject: Subject, folder: Path, stem: str) -> None:
        """Write the files of those names.

        Raises:
            ModelError: the format cannot say what the network does.
        """

    def read(self, subject: Subject, folder: Path, stem: str) -> Run:
        """The network as the files hold it."""

    def usage(self, subject: Subject, stem: str) -> list[str]:
        """Lines of Python that run the file."""


def check_installed(name: str, format: type[Format] | Format) -> None:
    """Refuse a format whose packages are not there.

    Raises:
        UserError: one is missing; it names the extra.
    """
    missing = [package for package in format.packages if find_spec(package) is None]
    if missing:
        raise UserError(
            f"--to {name} needs {', '.join(format.packages)}, but {missing[0]} is not installed; "
            f"pip install 'pruning-policy-search[{format.extra}]'"
        )
