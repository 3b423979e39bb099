"""Proxies: each scores a whole policy without training it; higher = a better policy.

Those that look at the same thing share a file. CONTRIBUTING.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from prune_ops.proxies.accuracies import AdaptiveBN, Reconstructed
from prune_ops.proxies.candidate import Proxy
from prune_ops.proxies.damages import IsoDamage, PredictedDamage
from prune_ops.proxies.data_free import Params, SynFlow
from prune_ops.proxies.gradients import Fisher, GraSP, Snip, ZiCo
from prune_ops.proxies.jacob_cov import JacobCov

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
    """Refuse proxies whose needs calibration batches of these sizes, in images, do not meet.

    Raises:
        UserError: too few calibration batches; no convolution and no linear layer.
    """
    for name in names:
        PROXIES[name].check(model, sizes)
