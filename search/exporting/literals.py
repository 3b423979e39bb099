"""Values as Python source."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from spaces.errors import DataError

PLAIN = (type(None), bool, int, str, bytes)
BRACKETS: dict[type, str] = {
    list: "[{}]",
    tuple: "({})",
    set: "{{{}}}",
    torch.Size: "torch.Size([{}])",
}


def literal(value: Any, path: str, tensors: dict[str, Tensor], table: str) -> str:
    """An expression for ``value``, in which ``torch`` and ``collections`` may be used.

    Args:
        path: names it, in errors and for the tensors in it.
        tensors: they are put here, and the expression takes them from there.
        table: what the expression calls ``tensors``.

    Raises:
        DataError: something in it is neither a tensor nor plain.
    """

    def inner(part: Any, key: Any) -> str:
        return literal(part, f"{path}/{key}", tensors, table)

    kind = type(value)
    if isinstance(value, Tensor):
        tensors[path] = value
        return f"{table}[{path!r}]"
    if kind in PLAIN:
        return repr(value)
    if kind is float:
        return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
    if kind in BRACKETS:
        parts = [inner(part, at) for at, part in enumerate(value)]
        comma = "," if kind is tuple and len(parts) == 1 else ""
        return BRACKETS[kind].format(", ".join(parts) + comma) if parts else f"{kind.__name__}()"
    if kind is OrderedDict:
        return f"collections.OrderedDict({inner(list(value.items()), 'items')})"
    if kind is dict:
        pairs = (f"{inner(key, 'key')}: {inner(part, key)}" for key, part in value.items())
        return f"{{{', '.join(pairs)}}}"
    if kind in (torch.dtype, torch.device):
        return str(value) if kind is torch.dtype else f"torch.device({str(value)!r})"
    raise DataError(
        f"what is written as code must be tensors and plain values, but {path!r} is a "
        f"{kind.__name__}; export --to pt2"
    )
