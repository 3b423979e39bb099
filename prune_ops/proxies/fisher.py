"""fisher: the summed Fisher estimates of removing single channels of the pruned network."""

from __future__ import annotations

import torch

from prune_ops.proxies.candidate import Proxy, PrunedCandidate


class Fisher(Proxy):
    """½ Σ over layers and output channels c of mean_n (Σ_positions a ⊙ g)².

    a is the output of a convolution or linear layer (before its BatchNorm and ReLU, the classifier
    included; a layer used twice counts twice), g the gradient by it of the cross-entropy of image n
    alone, n all images of the first ``BATCHES`` calibration batches. The square is taken per image
    and channel. BatchNorm is on batch statistics, dropout off; BatchNorm then lets an
    image's output reach the losses of its batch, and g is the gradient of their sum.

    Definition: Theis et al., Faster gaze prediction with dense networks and Fisher pruning, 2018;
    as the score of a network: Turner et al., BlockSwap: Fisher-guided Block Substitution for
    Network Compression on a Budget, ICLR 2020.
    """

    name = "fisher"
    batches = 1

    def score(self, candidate: PrunedCandidate) -> float:
        layers = zip(*candidate.passes.attributions, strict=True)
        squares = (torch.cat(batches).double().square() for batches in layers)
        return sum(layer.mean(0).sum().item() / 2 for layer in squares)
