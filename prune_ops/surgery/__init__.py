"""Surgeries: each cuts a network to a policy's widths, and says what the kept weights become.

``pruning`` applies any of them. CONTRIBUTING.md says how to add one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spaces.table import Table

if TYPE_CHECKING:
    from prune_ops.surgery.protocol import Surgery

SURGERIES: Table[Surgery] = Table(
    "prune_ops.surgery",
    {
        "plain": "plain:Plain",
        "fold_beta": "fold_beta:FoldBeta",
        "scale": "scale:Scale",
        "compensate": "compensate:Compensate",
        "reconstruct": "reconstruct:Reconstruct",
    },
)
"""Every surgery by name."""
