"""earlier: artifacts as versions before wrote them, in files of torch: ``weights.pt``, ``kept.pt``.

Format 2 had both; format 1 had no ``kept.pt``. They are read without running pickled code.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from prune_ops.artifact.extras import Extras
from prune_ops.artifact.files import must_exist
from spaces.errors import DataError

WEIGHTS, KEPT = "weights.pt", "kept.pt"


def names(number: int) -> list[str]:
    """The files that hold a network of a format, besides ``policy.json``."""
    return [WEIGHTS, KEPT] if number > 1 else [WEIGHTS]


def read(folder: Path, number: int) -> tuple[dict[str, Any], Extras]:
    """The ``state_dict`` and the rest of an artifact of format 1 or 2, on the CPU.

    Raises:
        DataError: a file is missing, damaged, or holds pickled code.
    """
    state = _read(folder / WEIGHTS)
    if number == 1:
        return state, Extras()
    path = folder / KEPT
    try:
        return state, Extras(**_read(path))
    except TypeError as error:
        raise DataError(f"{path} must be what save() wrote, but is not; save it again") from error


def _read(path: Path) -> dict[str, Any]:
    must_exist(path)
    try:
        with zipfile.ZipFile(path) as archive:  # torch reads flipped bytes without an error
            if broken := archive.testzip():
                raise zipfile.BadZipFile(broken)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} must hold tensors only, but holds pickled code, which was not run; "
            "give a file that save() wrote"
        ) from error
    except Exception as error:  # damaged bytes can raise anything
        raise DataError(f"{path} must be a torch file, but is damaged; save it again") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise DataError(
            f"{path} must hold a state_dict, but does not; give a file that save() wrote"
        )
    return content
