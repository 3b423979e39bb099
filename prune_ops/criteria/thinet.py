"""thinet: the rank at which greedy removal, by its effect on the next layer, takes a channel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops.criterion import StatCriterion, lacking_reader
from spaces import Space


class ThiNet(StatCriterion):
    """S_c = the number of channels removed before c when T, the removed set, grows greedily.

    Each step removes the channel that least increases Σ_n (Σ_{j∈T} x_{n,j})², x_{n,j} channel j's
    contribution to output n of the next layer, before that layer's bias, normalisation and
    activation, at ten outputs per image, drawn by the seed. Removed sets are nested, so that any
    width keeps the channels of the highest scores. Of equal channels the later index goes first.

    A convolution or linear layer must read every group; normalisations, activations and depthwise
    convolutions on the way are the channel's own. Where several layers read a group (a residual
    stream) their objectives are summed unscaled. Layers that the eval-mode pass does not use are
    ignored. Ranks are not comparable across groups.

    Definition: Luo et al., ThiNet: A Filter Level Pruning Method for Deep Neural Network
    Compression, ICCV 2017; its least-squares scaling of the kept channels is a surgery.
    """

    name = "thinet"
    requires = frozenset({"contributions"})

    def group_scores(self, stat: Tensor) -> Tensor:
        ranks = torch.empty(len(stat))
        ranks[removal_order(stat.numpy(force=True))] = torch.arange(len(stat), dtype=torch.float32)
        return ranks

    def lacks(self, model: nn.Module, space: Space) -> str:
        return lacking_reader(model, space)


def removal_order(gram: np.ndarray) -> list[int]:
    """All channels in order of removal: T grows by the least 1_Tᵀ G 1_T, G (C, C) symmetric.

    >>> x = np.array([2.0, -2.5, 1.0])
    >>> removal_order(np.outer(x, x))  # 1, then (1 − 2.5)² and not (1 + 2)²
    [2, 1, 0]

    A channel j that joins adds G_jj + 2 Σ_{k∈T} G_jk, so each step costs O(C).
    """
    added = gram.diagonal().copy()
    order: list[int] = []
    for _ in range(len(gram)):
        channel = len(gram) - 1 - int(added[::-1].argmin())
        order.append(channel)
        added += 2 * gram[channel]
        added[channel] = np.inf
    return order
