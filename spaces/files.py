"""Files that are written completely or not at all: readers see the old content or the new."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the content of ``path`` in one step; its folder must exist.

    Raises:
        OSError: the file cannot be written; the old content is still there.
    """
    with replacing(path) as (temporary,):
        temporary.write_bytes(data)


@contextmanager
def replacing(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Yield a temporary path beside each path; on success rename them all, in order.

    >>> with replacing(path) as (temporary,):                                    # doctest: +SKIP
    ...     torch.save(state, temporary)

    No path is replaced before all temporaries are written. Temporaries that remain are removed.

    Raises:
        OSError: a file cannot be renamed.
    """
    temporaries = tuple(path.with_name(f".{path.name}.{os.getpid()}") for path in paths)
    try:
        yield temporaries
        for temporary, path in zip(temporaries, paths, strict=True):
            os.replace(temporary, path)
    finally:
        for temporary in temporaries:
            with suppress(OSError):  # the folder itself may be what is in the way
                temporary.unlink(missing_ok=True)
