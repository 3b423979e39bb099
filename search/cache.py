"""A cache of tensors in files: written whole or not at all, made again if damaged."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from pathlib import Path
from typing import Any

import torch

from spaces.errors import brief
from spaces.files import replacing

log = logging.getLogger(__name__)


def key(*parts: object) -> str:
    """Sixteen hex digits that differ when any part's ``repr`` does."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def load(path: Path) -> Any:
    """What ``save`` wrote, on the CPU; None if the file is missing or damaged.

    A damaged file is reported in the log and left for ``save`` to replace.
    """
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():  # torch reads flipped bytes without an error
                raise zipfile.BadZipFile(f"{broken} is not as it was written")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its parsers meet in damaged bytes
        log.warning("cache file %s is damaged (%s); making it again", path, brief(error))
        return None


def save(path: Path, content: Any) -> None:
    """Write tensors, in lists and dicts, so that a reader sees the old file or the new one.

    A file that cannot be written (disk full, no permission) is reported in the log and no error.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as (temporary,):
            torch.save(content, temporary)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        log.warning("cache file %s could not be written (%s); going on without", path, brief(error))
