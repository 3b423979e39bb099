"""files: written completely or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from spaces.errors import DataError
from spaces.files import replacing


def on_cpu(value: Any) -> Any:
    """``value`` with its tensors cloned to the CPU, none a view of a larger storage."""
    return tree_map_only(Tensor, _cpu_clone, value)


def _cpu_clone(tensor: Tensor) -> Tensor:
    # A clone, as a view of a larger storage would be saved with all of it.
    tensor = tensor.detach().cpu()
    dense = tensor.layout == torch.strided
    return tensor.clone(memory_format=torch.contiguous_format if dense else torch.preserve_format)


def write(folder: Path, contents: Mapping[str, bytes], outdated: Iterable[str] = ()) -> None:
    """Write files by name, replaced in this order once all are written; DataError if it fails.

    Args:
        outdated: names of files that are removed at last.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(*(folder / name for name in contents)) as temporaries:
            for temporary, content in zip(temporaries, contents.values(), strict=True):
                temporary.write_bytes(content)
        for name in outdated:
            (folder / name).unlink(missing_ok=True)
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
