"""Proxies: each scores a whole policy without training it; higher = a better policy.

To add one, write one file here with a :class:`Proxy`, and add one line to
``PROXIES``; the contract test in ``tests/contracts`` covers it from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from prune_ops.proxies.adaptive_bn import AdaptiveBN
from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.proxies.fisher import Fisher
from prune_ops.proxies.grasp import GraSP
from prune_ops.proxies.iso_damage import IsoDamage
from prune_ops.proxies.jacob_cov import JacobCov
from prune_ops.proxies.params import Params
from prune_ops.proxies.predicted_damage import PredictedDamage
from prune_ops.proxies.reconstructed import Reconstructed
from prune_ops.proxies.snip import Snip
from prune_ops.proxies.synflow import SynFlow
from prune_ops.proxies.zico import ZiCo

__all__ = ["PROXIES", "PrunedCandidate", "Proxy", "check_proxies"]

PROXIES: dict[str, Proxy] = {
    proxy.name: proxy
    for proxy in (
        PredictedDamage(),
        IsoDamage(),
        AdaptiveBN(),
        Reconstructed(),
        Snip(),
        GraSP(),
        SynFlow(),
        Fisher(),
        JacobCov(),
        ZiCo(),
        Params(),
    )
}
"""Every proxy by name."""


def check_proxies(names: Iterable[str], model: nn.Module, sizes: Sequence[int]) -> None:
    """Refuse proxies whose needs are not met, before anything is measured.

    Args:
        sizes: images in each calibration batch.

    Raises:
        UserError: too few calibration batches; no convolution and no linear layer.
    """
    for name in names:
        PROXIES[name].check(model, sizes)
