"""safetensors: a saved network in one file of tensors, which any reader of that format opens.

======================  =========================================================================
name of a tensor        what it is
======================  =========================================================================
as in the state_dict    a weight or buffer; of shared ones there is one, under its first name
``buffers/<name>``      a tensor that no state_dict holds
``kept/<name>/<dim>``   ascending positions of the unpruned tensor that stayed along that dim
``pass/inputs/...``     of one forward pass in eval mode; ``pass/outputs/...`` is what came out
======================  =========================================================================

What is no tensor, and which names share one, is JSON in the header's metadata, ``structure``, see
`prune_ops.artifact.structure`. Its ``sha256`` is of all content: the format itself notices no
damage to numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as tensors_in
from safetensors.torch import save as bytes_of
from torch import Tensor

from prune_ops.artifact.extras import Extras
from prune_ops.artifact.files import must_exist, on_cpu
from prune_ops.artifact.structure import TakenApart, put_together
from spaces.errors import DataError
from spaces.fingerprint import content

STRUCTURE, DIGEST = "structure", "sha256"


def packed(state: Mapping[str, Any], extras: Extras) -> bytes:
    """The content of the file.

    Raises:
        DataError: something in it is neither a tensor nor a plain value.
    """
    apart, cut = TakenApart(), None
    if extras.cut is not None:
        cut = {f"{name}/{dim}": at for name, dim, at in extras.cut}
    structure = {
        "state": apart.add(dict(state)),
        "buffers": apart.add(dict(extras.buffers), "buffers"),
        "cut": apart.add(cut, "kept"),
        "inputs": apart.add(extras.inputs, "pass/inputs"),
        "outputs": apart.add(extras.outputs, "pass/outputs"),
        "tolerance": extras.tolerance,
    }
    tensors, text = on_cpu(apart.tensors), json.dumps(structure)
    metadata = {"format": "pt", STRUCTURE: text, DIGEST: _digest(text, tensors)}
    return bytes_of(tensors, metadata)


def read(path: Path) -> tuple[dict[str, Any], Extras]:
    """The ``state_dict`` and the rest of what ``packed`` made, on the CPU.

    Raises:
        DataError: the file is missing, damaged, or another one.
    """
    must_exist(path)
    try:
        whole = path.read_bytes()
        tensors, metadata = tensors_in(whole), _metadata(whole)
    except (OSError, SafetensorError, ValueError, KeyError, AssertionError) as error:
        raise DataError(
            f"{path} must be a safetensors file, but is damaged; save it again"
        ) from error
    if not {STRUCTURE, DIGEST} <= metadata.keys():
        raise DataError(
            f"{path} must be what save() wrote, but its header has no {STRUCTURE}; give a folder "
            "that save() wrote"
        )
    if metadata[DIGEST] != _digest(metadata[STRUCTURE], tensors):
        raise DataError(f"{path} must hold what save() wrote, but was changed since; save it again")
    try:
        parts = {
            name: put_together(part, tensors)
            for name, part in json.loads(metadata[STRUCTURE]).items()
        }
        return parts.pop("state"), _extras(parts)
    except (ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise DataError(f"{path} must be what save() wrote, but is not; save it again") from error


def _extras(parts: dict[str, Any]) -> Extras:
    """Fields of a later version that this one does not know are left out."""
    known = {field.name for field in fields(Extras)}
    parts = {name: part for name, part in parts.items() if name in known}
    if (cut := parts.get("cut")) is not None:
        places = {tuple(name.rsplit("/", 1)): at for name, at in cut.items()}
        parts["cut"] = [(name, int(dim), at) for (name, dim), at in places.items()]
    return Extras(**parts)


def _metadata(whole: bytes) -> dict[str, str]:
    """Of the header: eight bytes say how long it is, then it is JSON."""
    length = int.from_bytes(whole[:8], "little")
    found: dict[str, str] = json.loads(whole[8 : 8 + length]).get("__metadata__") or {}
    return found


def _digest(structure: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(structure.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(content(tensor))
    return digest.hexdigest()
