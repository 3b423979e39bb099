"""Ways to compress a network other than by its channels; see CONTRIBUTING.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spaces.table import Table

if TYPE_CHECKING:
    from prune_ops.compression.way import Way

WAYS: Table[Way] = Table(
    "prune_ops.compression", {"magnitude": "magnitude:Magnitude", "ternary": "ternary:Ternary"}
)
"""Every way to compress by name."""
