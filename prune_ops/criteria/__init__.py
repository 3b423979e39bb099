"""Criteria: each scores every channel of every group; higher = keep.

Those that look at the same thing share a file. CONTRIBUTING.md says how to add one.
"""

from __future__ import annotations

from prune_ops.criteria.bn_scale import BNScale
from prune_ops.criteria.contributions import Lasso, ThiNet
from prune_ops.criteria.feature_maps import APoZ, HRank, Taylor2016
from prune_ops.criteria.filters import FPGM, NORMS
from prune_ops.criteria.random import Random
from prune_ops.criteria.surgeon import OptimalBrainSurgeon
from prune_ops.criteria.taylor import SecondOrder, SecondOrderHutchinson, Taylor2019
from prune_ops.criterion import Criterion

CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        *NORMS,
        FPGM(),
        BNScale(),
        ThiNet(),
        Lasso(),
        Taylor2016(),
        Taylor2019(),
        SecondOrder(),
        SecondOrderHutchinson(),
        OptimalBrainSurgeon(),
        APoZ(),
        HRank(),
        Random(),
    )
}
"""Every criterion by name."""

ALIASES = {"weight_sum": "l1"}
"""Second name of a criterion → its first name."""
