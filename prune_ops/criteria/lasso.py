"""lasso: the l1 penalty up to which the next layer still uses a channel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops.contributions import SAMPLES
from prune_ops.criterion import StatCriterion, lacking_reader
from spaces import Space

RESOLUTION = 1e-9
"""A channel whose residual given the others is no larger a share than this is a sum of theirs."""


class Lasso(StatCriterion):
    """S_c = the largest λ at which β_c ≠ 0 in min_β ½ Σ_n (y_n − Σ_c β_c x_{n,c})² + λ Σ_c |β_c|.

    x_{n,c} is channel c's contribution to sampled output n of the next layer, before bias,
    normalisation and activation, and y_n = Σ_c x_{n,c} that output, so β = 1 is the unchanged
    network. The paper's ‖W_c‖ = 1 makes the solution unique where W is solved for too, and does not
    enter here; λ is N times the paper's, N the number of samples, which changes no order.

    Raising λ until ‖β‖₀ ≤ c′ keeps the c′ channels of the highest score, except where some β_c
    returns to zero as λ falls, which is rare. Of linearly dependent channels only the first, as
    many as are needed, get a score; the rest, and channels that add nothing, get 0.

    Where several layers read a group (a residual stream) their objectives are summed unscaled.
    Layers that the eval-mode pass does not use are ignored, but one must read every group. λ is in
    squared units of each group's own readers, hence ``comparable`` is false.

    Definition: He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017,
    the selection of channels; the least-squares reconstruction that follows is a surgery.
    """

    name = "lasso"
    requires = frozenset({"contributions"})

    def group_scores(self, stat: Tensor) -> Tensor:
        return torch.from_numpy(entry_penalties(stat.numpy(force=True)))

    def lacks(self, model: nn.Module, space: Space) -> str:
        return lacking_reader(model, space)

    def fewest_images(self, space: Space) -> int:
        """At least one sampled output per channel of the widest group, for a unique path."""
        return -(-max(g.channels for g in space.groups) // SAMPLES)


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
