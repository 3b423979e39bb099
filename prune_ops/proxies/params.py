"""params: how many parameters the pruned network has; the baseline that every proxy must beat."""

from __future__ import annotations

from prune_ops.proxies.candidate import Proxy, PrunedCandidate


class Params(Proxy):
    """The number of parameters of the pruned network, a shared one counted once.

    It needs no data and no pass, and most proxies grow with it: one that ranks policies of equal
    FLOPs no better than this is not worth its cost.

    Compared with in: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021; White
    et al., A Deeper Look at Zero-Cost Proxies for Lightweight NAS, ICLR Blog Track 2022.
    """

    name = "params"

    def score(self, candidate: PrunedCandidate) -> float:
        return float(sum(parameter.numel() for parameter in candidate.pruned.parameters()))
