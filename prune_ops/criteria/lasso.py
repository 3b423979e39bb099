"""lasso: how strong an l1 penalty a channel withstands when few are to feed the next layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops.contributions import SAMPLES
from prune_ops.criterion import Criterion, unread
from prune_ops.evidence import Evidence
from spaces import Space
from spaces.groups import ChannelGroup

RESOLUTION = 1e-9
"""A channel of which the others leave no larger share than this is a sum of theirs."""


class Lasso(Criterion):
    """S_c = the largest λ at which β_c ≠ 0 in min_β ½ Σ_n (y_n − Σ_c β_c x_{n,c})² + λ Σ_c |β_c|.

    x_{n,c} is what channel c adds to sampled output n of the next layer with the weights as they
    are, before bias, normalisation and activation, and y_n = Σ_c x_{n,c} that output. So β = 1 is
    the network as it is, and a channel of larger contributions is penalised less; the paper's ‖W_c‖
    = 1 makes the answer unique where W is solved for too, and does not enter here. λ is N times
    the paper's, N the number of samples: that changes no order.

    Raising λ until ‖β‖₀ ≤ c′ keeps the c′ channels of the highest score, but where some β_c comes
    back to zero as λ falls, which is rare. Of channels that are sums of others, equal ones say, as
    many get a score as are needed, the first ones; the others and channels that add nothing get 0.

    Channels are chosen once, with the weights of the unpruned network in all layers. Where several
    layers read a group (a residual stream) their objectives are summed as they are. Layers that the
    eval-mode pass does not use count nothing.

    λ is in squared units of each group's own readers, hence ``comparable`` is false.

    Definition: He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017,
    the selection of channels. The least-squares reconstruction that follows is surgery and not done
    here.

    It needs a convolution or linear layer that reads every group.
    """

    name = "lasso"
    requires = frozenset({"contributions"})

    def __call__(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> dict[str, Tensor]:
        return {g.name: _scores(evidence.contributions[g.name]) for g in groups}

    def lacks(self, model: nn.Module, space: Space) -> str:
        return unread(model, space)

    def fewest_images(self, space: Space) -> int:
        """As many sampled outputs as the widest group has channels: fewer leave the path open."""
        return -(-max(g.channels for g in space.groups) // SAMPLES)


def _scores(gram: Tensor) -> Tensor:
    """The penalties; nan where ``gram`` has no path."""
    if not gram.isfinite().all():
        return torch.full((len(gram),), torch.nan)
    return torch.from_numpy(entry_penalties(gram.numpy(force=True)))


def entry_penalties(gram: np.ndarray) -> np.ndarray:
    """The largest λ at which each channel is in use, ``(C,)``, for G = Σ_n x_n x_nᵀ ``(C, C)``.

    >>> entry_penalties(np.diag([3.0, 1.0, 2.0]))  # orthogonal: β_c = max(0, 1 − λ/G_cc)
    array([3., 1., 2.])

    λ falls from infinity and β follows exactly, linear in λ between one channel's coming or going
    and the next: those in use have (G(1 − β))_c = λ sign β_c, the others stay below λ. The table
    gives β of those in use, and Gβ of the others, from what these equations say of Gβ. A step costs
    O(C²).
    """
    # scikit-learn's lars_path_gram passes ties by: on the identity its β ends at 5, 4, 3, 2, 1.
    target, entry, signs = gram.sum(1), np.zeros(len(gram)), np.zeros(len(gram))
    table, penalty = gram.copy(), np.inf
    for _ in range(10 * len(gram)):  # each channel once, but for those that come and go
        fitted, slope = table @ (target * signs**2), table @ signs
        able = (signs == 0) & (table.diagonal() > RESOLUTION * gram.diagonal())
        events = [
            _where(able & (slope < 1 - RESOLUTION), target - fitted, 1 - slope),
            _where(able & (slope > RESOLUTION - 1), fitted - target, 1 + slope),
            _where(signs * slope < 0, fitted, slope),
        ]
        kind, channel = divmod(int(np.argmax(events)), len(gram))
        penalty = min(penalty, events[kind][channel])
        if penalty <= 0:
            break
        _exchange(table, channel)
        signs[channel] = (1, -1, 0)[kind]
        entry[channel] = entry[channel] or penalty
    return entry


def _where(mask: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The λ of one kind of event in every channel, 0 where there is none."""
    return np.divide(above, below, out=np.zeros_like(above), where=mask)


def _exchange(table: np.ndarray, k: int) -> None:
    """In place: from y = table·x to the same equations with y_k and x_k in each other's place."""
    pivot, row, column = table[k, k], table[k].copy(), table[:, k] / table[k, k]
    table -= np.outer(column, row)
    table[k] = -row / pivot
    table[:, k] = column
    table[k, k] = 1 / pivot
