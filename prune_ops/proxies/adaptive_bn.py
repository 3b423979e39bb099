"""adaptive_bn: accuracy before any training, with BatchNorm statistics of the pruned network."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prune_ops.batches import Pair, read
from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.running import accuracy, forward
from spaces import copied
from spaces.errors import UserError

MAX_BATCHES = 100


class AdaptiveBN(Proxy):
    """The pruned network's accuracy (0..1) on held-out training data, its statistics adapted.

    The inherited running statistics are those of the unpruned network, with which accuracy is
    nearly meaningless. So they are reset and estimated from at most ``MAX_BATCHES`` calibration
    batches, all with equal weight. The network is a copy, in eval mode except for its BatchNorms,
    so dropout is off. Without BatchNorm it is the accuracy of the pruned network.

    Definition: Li et al., EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning,
    ECCV 2020.
    """

    name = "adaptive_bn"

    def score(self, candidate: PrunedCandidate) -> float:
        return accuracy(recalibrated(candidate.pruned, candidate.calibration), candidate.held_out)


@torch.no_grad()
def recalibrated(model: nn.Module, batches: Iterable[Pair]) -> nn.Module:
    """A copy in eval mode whose BatchNorm statistics are the mean over the batches' own.

    A batch of one image is left out: it has no variance, and would weigh as much as a full one.
    """
    model = copied(model).eval()
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return model
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches, not an exponential one
        norm.train()
    usable = (batch.inputs for batch in read(batches) if batch.images > 1)
    count = 0
    for inputs in islice(usable, MAX_BATCHES):
        forward(model, inputs)
        count += 1
    if not count:
        raise UserError(
            "adaptive_bn needs calibration batches of at least 2 images, but got none; "
            "give more training data"
        )
    return model.eval()
