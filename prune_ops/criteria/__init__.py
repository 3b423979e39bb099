"""Criteria: each scores every channel of every group; the higher, the more it should stay.

To add one, write one file here with a class that satisfies :class:`Criterion`, and add one line to
``CRITERIA``; the contract test in ``tests/contracts`` takes it from there. What it needs from the
calibration data it names in ``requires``, and finds in the :class:`Evidence`. No criterion imports
another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from prune_ops.criteria.bn_scale import BNScale
from prune_ops.criteria.fpgm import FPGM
from prune_ops.criteria.l1 import L1
from prune_ops.criteria.l1_greedy import L1Greedy
from prune_ops.criteria.l2 import L2
from prune_ops.criteria.l2_greedy import L2Greedy
from prune_ops.criteria.lasso import Lasso
from prune_ops.criteria.random import Random
from prune_ops.criteria.second_order import SecondOrder
from prune_ops.criteria.taylor_2019 import Taylor2019
from prune_ops.criteria.thinet import ThiNet
from prune_ops.evidence import Evidence
from prune_ops.scores import Scores
from spaces.groups import ChannelGroup

__all__ = ["CRITERIA", "Criterion"]


class Criterion(Protocol):
    """Scores channels.

    Attributes:
        name: its key in ``CRITERIA``, on the command line and in every table.
        comparable: whether the scores are in one unit across groups, so that a global ranking may
            use them as they are; if not, it ranks :func:`prune_ops.normalised` ones.
        requires: the fields of :class:`Evidence` that the calibration pass must fill.
    """

    name: str
    comparable: bool
    requires: frozenset[str]

    def __call__(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> Scores:
        """Group name → ``(channels,)``, finite, on any device; higher = keep."""
        ...


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
    Taylor2019(),
    SecondOrder(),
    Random(),
)

CRITERIA: dict[str, Criterion] = {criterion.name: criterion for criterion in _ALL}
"""Every criterion by its name."""
