"""Criteria: each scores every channel of every group; higher = keep.

To add one, write one file here with a :class:`prune_ops.criterion.Criterion`, and add one line to
``CRITERIA``; the contract test in ``tests/contracts`` covers it from there. Variants of one
definition share a file; no criterion imports another.
"""

from __future__ import annotations

from prune_ops.criteria.apoz import APoZ
from prune_ops.criteria.bn_scale import BNScale
from prune_ops.criteria.fpgm import FPGM
from prune_ops.criteria.hrank import HRank
from prune_ops.criteria.lasso import Lasso
from prune_ops.criteria.norms import NORMS
from prune_ops.criteria.random import Random
from prune_ops.criteria.second_order import SecondOrder, SecondOrderHutchinson
from prune_ops.criteria.taylor_2016 import Taylor2016
from prune_ops.criteria.taylor_2019 import Taylor2019
from prune_ops.criteria.thinet import ThiNet
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
        APoZ(),
        HRank(),
        Random(),
    )
}
"""Every criterion by name."""

ALIASES = {"weight_sum": "l1"}
"""Second name of a criterion → its first name."""
