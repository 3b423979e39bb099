"""Criteria: each scores every channel of every group; higher = keep.

Those that look at the same thing share a file. CONTRIBUTING.md says how to add one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spaces.table import Table

if TYPE_CHECKING:
    from prune_ops.criterion import Criterion

CRITERIA: Table[Criterion] = Table(
    "prune_ops.criteria",
    {
        "l1": "filters:L1",
        "weight_sum": "filters:WeightSum",
        "l1_greedy": "filters:L1Greedy",
        "l2": "filters:L2",
        "l2_greedy": "filters:L2Greedy",
        "fpgm": "filters:FPGM",
        "bn_scale": "bn_scale:BNScale",
        "thinet": "contributions:ThiNet",
        "lasso": "contributions:Lasso",
        "taylor_2016": "feature_maps:Taylor2016",
        "taylor_2019": "taylor:Taylor2019",
        "second_order": "taylor:SecondOrder",
        "second_order_hutchinson": "taylor:SecondOrderHutchinson",
        "obs": "surgeon:OptimalBrainSurgeon",
        "apoz": "feature_maps:APoZ",
        "hrank": "feature_maps:HRank",
        "random": "random:Random",
    },
)
"""Every criterion by name."""

ALIASES = {"weight_sum": "l1"}
"""Second name of a criterion → its first name."""
