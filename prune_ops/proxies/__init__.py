"""Proxies: each scores a whole policy without training it; higher = a better policy.

Those that look at the same thing share a file. CONTRIBUTING.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from spaces.table import Table

if TYPE_CHECKING:
    from torch import nn

    from prune_ops.proxies.candidate import Proxy

PROXIES: Table[Proxy] = Table(
    "prune_ops.proxies",
    {
        "predicted_damage": "damages:PredictedDamage",
        "iso_damage": "damages:IsoDamage",
        "adaptive_bn": "accuracies:AdaptiveBN",
        "reconstructed": "accuracies:Reconstructed",
        "snip": "gradients:Snip",
        "grasp": "gradients:GraSP",
        "synflow": "data_free:SynFlow",
        "fisher": "gradients:Fisher",
        "jacob_cov": "jacob_cov:JacobCov",
        "zico": "gradients:ZiCo",
        "params": "data_free:Params",
    },
)
"""Every proxy by name."""


def check_proxies(names: Iterable[str], model: nn.Module, sizes: Sequence[int]) -> None:
    """Refuse proxies whose needs calibration batches of these sizes, in images, do not meet.

    Raises:
        UserError: too few calibration batches; no convolution and no linear layer.
    """
    for name in names:
        PROXIES[name].check(model, sizes)
