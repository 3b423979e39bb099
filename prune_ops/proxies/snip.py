"""snip: the sensitivity of the loss to the weights that the policy keeps."""

from __future__ import annotations

from prune_ops.proxies.candidate import Proxy, PrunedCandidate


class Snip(Proxy):
    """Σ |g ⊙ w| over the weights of all convolutions and linear layers.

    g is the gradient of the mean cross-entropy over the images of the first ``BATCHES`` calibration
    batches (the paper: one batch), BatchNorm on batch statistics, dropout off. |g w| is the
    first-order change of the loss when the weight is removed; the larger its sum over the kept
    weights, the better the network is said to train.

    Definition: Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity, ICLR
    2019, summed over the network as in Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS,
    ICLR 2021.
    """

    name = "snip"
    batches = 1

    def score(self, candidate: PrunedCandidate) -> float:
        seen = candidate.passes
        pairs = zip(seen.gradient, seen.weights, strict=True)
        return sum((g * w.detach()).abs().double().sum().item() for g, w in pairs)
