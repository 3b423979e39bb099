"""Criteria: each scores every channel of every group; the higher, the more it should stay.

To add one, write one file here with a :class:`prune_ops.criterion.Criterion`, and add one line to
``CRITERIA``; the contract test in ``tests/contracts`` takes it from there. What it needs from the
calibration data it names in ``requires``, and finds in the :class:`Evidence`. No criterion imports
another.
"""

from __future__ import annotations

from prune_ops.criteria.apoz import APoZ
from prune_ops.criteria.bn_scale import BNScale
from prune_ops.criteria.fpgm import FPGM
from prune_ops.criteria.hrank import HRank
from prune_ops.criteria.l1 import L1
from prune_ops.criteria.l1_greedy import L1Greedy
from prune_ops.criteria.l2 import L2
from prune_ops.criteria.l2_greedy import L2Greedy
from prune_ops.criteria.lasso import Lasso
from prune_ops.criteria.random import Random
from prune_ops.criteria.second_order import SecondOrder
from prune_ops.criteria.second_order_hutchinson import SecondOrderHutchinson
from prune_ops.criteria.taylor_2016 import Taylor2016
from prune_ops.criteria.taylor_2019 import Taylor2019
from prune_ops.criteria.thinet import ThiNet
from prune_ops.criterion import Criterion

_ALL: tuple[Criterion, ...] = (
    L1(),
    L1("weight_sum"),  # its name in the comparison of ThiNet, Luo et al., ICCV 2017
    L1Greedy(),
    L2(),
    L2Greedy(),
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

CRITERIA: dict[str, Criterion] = {criterion.name: criterion for criterion in _ALL}
"""Every criterion by its name."""

ALIASES = {"weight_sum": "l1"}
"""Second names of a criterion, with the first."""
