"""thinet: how early a channel goes when those go first that the next layer misses least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops.criterion import Criterion, unread
from prune_ops.evidence import Evidence
from spaces import Space
from spaces.groups import ChannelGroup


class ThiNet(Criterion):
    """S_c = how many channels go before c when T, the removed set, grows greedily.

    The next to go is the channel that least increases Σ_n (Σ_{j∈T} x_{n,j})², x_{n,j} what channel
    j adds to output n of the next layer: before that layer's bias, normalisation and activation,
    at ten outputs of each image, drawn by the seed. Any width keeps the channels of the highest
    scores, for what goes for a narrower one includes what goes for a wider one. Where several are
    equal the later index goes first.

    A layer that reads the channels is a convolution or a linear one; normalisations, activations
    and depthwise convolutions on the way are the channel's own. Where several layers read a group
    (a residual stream) their objectives are summed as they are, so that a layer of larger outputs
    counts for more. Layers that the eval-mode pass does not use count nothing.

    Ranks say nothing across groups, hence ``comparable`` is false.

    Definition: Luo et al., ThiNet: A Filter Level Pruning Method for Deep Neural Network
    Compression, ICCV 2017. Its least-squares scaling of what stays is surgery and not done here.

    It needs a convolution or linear layer that reads every group.
    """

    name = "thinet"
    requires = frozenset({"contributions"})

    def __call__(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> dict[str, Tensor]:
        return {g.name: _ranks(evidence.contributions[g.name]) for g in groups}

    def lacks(self, model: nn.Module, space: Space) -> str:
        return unread(model, space)


def _ranks(gram: Tensor) -> Tensor:
    """When each channel goes, 0 for the first; nan where ``gram`` cannot be ranked."""
    if not gram.isfinite().all():
        return torch.full((len(gram),), torch.nan)
    ranks = torch.empty(len(gram))
    ranks[removal_order(gram.numpy(force=True))] = torch.arange(len(gram), dtype=torch.float32)
    return ranks


def removal_order(gram: np.ndarray) -> list[int]:
    """All channels, the first to go first: T grows by the least 1_Tᵀ G 1_T, G (C, C) symmetric.

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
