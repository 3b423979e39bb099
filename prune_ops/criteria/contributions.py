"""thinet and lasso: by what a channel adds to the outputs of the layers that read it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops.channels import detached, weights
from prune_ops.contributions import SAMPLES
from prune_ops.criterion import StatCriterion, lacking
from spaces import Space

RESOLUTION = 1e-9
"""A channel whose residual given the others is no larger a share than this is a sum of theirs."""


class ContributionCriterion(StatCriterion):
    """Scores x_{n,c}: channel c's contribution to sampled output n of the layer that reads it.

    That is before the layer's bias, normalisation and activation, at ten outputs per image, drawn
    by the seed; normalisations, activations and depthwise convolutions on the way to it are the
    channel's own. A convolution or linear layer must read every group. Where several do (a residual
    stream) their objectives are summed unscaled; layers that the eval-mode pass does not use are
    ignored. Scores are not comparable across groups.
    """

    requires = frozenset({"contributions"})

    def lacks(self, model: nn.Module, space: Space) -> str:
        parameters = detached(model)
        missing = [g.name for g in space.groups if not weights(g, parameters, {"in"})]
        return lacking("a convolution or linear layer that reads every group", "for", missing)


class ThiNet(ContributionCriterion):
    """Removes one by one what the next layer misses least.

    S_c = the number of channels removed before c when T, the removed set, grows greedily.

    Each step removes the channel that least increases Σ_n (Σ_{j∈T} x_{n,j})². Removed sets are
    nested, so that any width keeps the channels of the highest scores. Of equal channels the later
    index goes first.

    Definition: Luo et al., ThiNet: A Filter Level Pruning Method for Deep Neural Network
    Compression, ICCV 2017; its least-squares scaling of the kept channels is a surgery.
    """

    name = "thinet"

    def group_scores(self, stat: Tensor) -> Tensor:
        ranks = torch.empty(len(stat))
        ranks[removal_order(stat.numpy(force=True))] = torch.arange(len(stat), dtype=torch.float32)
        return ranks


class Lasso(ContributionCriterion):
    """Finds by lasso regression what the next layer needs.

    S_c = the largest λ at which β_c ≠ 0 in min_β ½ Σ_n (y_n − Σ_c β_c x_{n,c})² + λ Σ_c |β_c|.

    y_n = Σ_c x_{n,c} is the sampled output, so β = 1 is the unchanged network. The paper's
    ‖W_c‖ = 1 makes the solution unique where W is solved for too, and does not enter here; λ is N
    times the paper's, N the number of samples, which changes no order.

    Raising λ until ‖β‖₀ ≤ c′ keeps the c′ channels of the highest score, except where some β_c
    returns to zero as λ falls, which is rare. Of linearly dependent channels only the first, as
    many as are needed, get a score; the rest, and channels that add nothing, get 0.

    Definition: He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017,
    the selection of channels; the least-squares reconstruction that follows is a surgery.
    """

    name = "lasso"

    def group_scores(self, stat: Tensor) -> Tensor:
        return torch.from_numpy(entry_penalties(stat.numpy(force=True)))

    def fewest_images(self, space: Space) -> int:
        """At least one sampled output per channel of the widest group, for a unique path."""
        return -(-max(g.channels for g in space.groups) // SAMPLES)


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


def entry_penalties(gram: np.ndarray) -> np.ndarray:
    """The largest λ at which each channel is in use, ``(C,)``, for G = Σ_n x_n x_nᵀ ``(C, C)``.

    >>> entry_penalties(np.diag([3.0, 1.0, 2.0]))  # orthogonal: β_c = max(0, 1 − λ/G_cc)
    array([3., 1., 2.])

    λ falls from infinity and β follows exactly, linear in λ between two events, each a channel that
    enters or leaves: active channels have (G(1 − β))_c = λ sign β_c, the others stay below λ. The
    tableau maps the right-hand sides of these equations to β of the active channels and Gβ of the
    others. A step costs O(C²).
    """
    # scikit-learn's lars_path_gram skips ties: on the identity its β ends at 5, 4, 3, 2, 1.
    target, entry, signs = gram.sum(1), np.zeros(len(gram)), np.zeros(len(gram))
    tableau, penalty = gram.copy(), np.inf
    for _ in range(10 * len(gram)):  # each channel once, except those that leave again
        fitted, slope = tableau @ (target * signs**2), tableau @ signs
        free = (signs == 0) & (tableau.diagonal() > RESOLUTION * gram.diagonal())
        events = [
            _divided(free & (slope < 1 - RESOLUTION), target - fitted, 1 - slope),
            _divided(free & (slope > RESOLUTION - 1), fitted - target, 1 + slope),
            _divided(signs * slope < 0, fitted, slope),
        ]
        kind, channel = divmod(int(np.argmax(events)), len(gram))
        penalty = min(penalty, events[kind][channel])
        if penalty <= 0:
            break
        _pivot(tableau, channel)
        signs[channel] = (1, -1, 0)[kind]
        entry[channel] = entry[channel] or penalty
    return entry


def _divided(mask: np.ndarray, numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The λ of one kind of event for every channel, 0 where there is none."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=mask)


def _pivot(tableau: np.ndarray, k: int) -> None:
    """In place: from y = tableau·x to the same equations with y_k and x_k exchanged."""
    pivot, row, column = tableau[k, k], tableau[k].copy(), tableau[:, k] / tableau[k, k]
    tableau -= np.outer(column, row)
    tableau[k] = -row / pivot
    tableau[:, k] = column
    tableau[k, k] = 1 / pivot
