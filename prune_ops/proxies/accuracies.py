"""adaptive_bn and reconstructed: accuracy on held-out training data, before any training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prune_ops.batches import Pair, read
from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.running import forward
from prune_ops.surgery.pruning import Pruner, pruner
from spaces import Space, copied
from spaces.errors import UserError
from spaces.inputs import items, part

MAX_BATCHES = 100
IMAGES = 256
"""Images to reconstruct from; as many as calibration has by default."""


class AdaptiveBN(Proxy):
    """Accuracy without training, its BatchNorm statistics renewed.

    The pruned network's accuracy (0..1) on held-out training data, its BatchNorm adapted.

    The inherited running statistics are those of the unpruned network, with which accuracy is
    nearly meaningless. So they are reset and estimated from at most ``MAX_BATCHES`` calibration
    batches, all with equal weight. The network is a copy, in eval mode except for its BatchNorms,
    so dropout is off. Without BatchNorm it is the accuracy of the pruned network.

    Definition: Li et al., EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning,
    ECCV 2020.
    """

    name = "adaptive_bn"

    def score(self, candidate: PrunedCandidate) -> float:
        network = recalibrated(candidate.pruned, candidate.calibration)
        return candidate.metric(network, candidate.held_out)


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


class Reconstructed(Proxy):
    """Accuracy without training, after repair by least squares.

    The accuracy (0..1) of the policy cut by surgery ``reconstruct``, whatever the search's is.

    A brief training first restores what a linear map of the kept channels can restore, and
    reconstruction finds the best such map of every layer. So this measures what the widths allow to
    be learnt.

    Reconstruction: He et al., ICCV 2017; see the surgery. That its accuracy judges widths is our
    own finding, measured in ``benchmarks/trust.py``.
    """

    name = "reconstructed"

    def score(self, candidate: PrunedCandidate) -> float:
        reconstruct = candidate.reconstruct
        if reconstruct is None:
            if candidate.model is None:
                raise UserError(
                    "proxy 'reconstructed' cuts the unpruned network itself, but the candidate has "
                    "none; give it as model"
                )
            reconstruct = reconstructor(candidate.model, candidate.space, candidate.calibration)
        network = reconstruct(candidate.policy, candidate.scores)
        return candidate.metric(network.eval(), candidate.held_out)


def reconstructor(model: nn.Module, space: Space, calibration: Iterable[Pair]) -> Pruner:
    """Cuts the unpruned ``model`` as proxy `Reconstructed` does, for all policies alike."""
    return pruner(model, space, "reconstruct", _first(calibration))


def _first(batches: Iterable[Pair]) -> Iterator[Pair]:
    """The first ``IMAGES`` images."""
    left = IMAGES
    for inputs, targets in batches:
        yield part(inputs, 0, left), part(targets, 0, left)
        left -= items(inputs)
        if left <= 0:
            return
