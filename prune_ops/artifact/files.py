"""files: written completely or not at all, read without running pickled code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from spaces.errors import DataError
from spaces.files import replacing


def packed(content: Any) -> bytes:
    """Tensors and plain values in nested lists and dicts as the bytes of a torch file."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def on_cpu(value: Any) -> Any:
    """``value`` with its tensors cloned to the CPU, none a view of a larger storage."""
    return tree_map_only(Tensor, _cpu_clone, value)


def _cpu_clone(tensor: Tensor) -> Tensor:
    # A clone, as a view of a larger storage would be saved with all of it.
    tensor = tensor.detach().cpu()
    dense = tensor.layout == torch.strided
    return tensor.clone(memory_format=torch.contiguous_format if dense else torch.preserve_format)


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files by name, replaced in this order once all are written; DataError if it fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(*(folder / name for name in contents)) as temporaries:
            for temporary, content in zip(temporaries, contents.values(), strict=True):
                temporary.write_bytes(content)
    except OSError as error:
        raise DataError(
            f"{folder} must be writable, but got: {error.strerror or error}; make room or choose "
            "another folder"
        ) from error


def must_exist(path: Path) -> None:
    """Raise DataError if there is no such file."""
    if not path.is_file():
        missing = path if path.parent.is_dir() else path.parent
        raise DataError(f"{missing} must exist, but does not; give a folder that save() wrote")


def read(path: Path) -> dict[str, Any]:
    """The dict that ``packed`` wrote, on the CPU.

    Raises:
        DataError: the file is missing, damaged, holds pickled code (which is never run) or no dict.
    """
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
