"""reconstructed: accuracy before any training, after least-squares reconstruction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prune_ops.batches import Pair
from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.running import accuracy
from prune_ops.surgery import prune
from spaces.errors import UserError
from spaces.inputs import items, part

IMAGES = 256
"""Images to reconstruct from; as many as calibration has by default."""


class Reconstructed(Proxy):
    """The accuracy (0..1), on held-out training data, of the policy cut by surgery ``reconstruct``.

    A brief training first restores what a linear map of the kept channels can restore, and
    reconstruction finds the best such map of every layer. So this measures what the widths allow
    to be learnt. The surgery is independent of the search's.

    Reconstruction: He et al., ICCV 2017; see the surgery. That its accuracy judges widths is our
    own finding, measured in ``benchmarks/trust.py``.
    """

    name = "reconstructed"

    def score(self, candidate: PrunedCandidate) -> float:
        if candidate.model is None:
            raise UserError(
                "proxy 'reconstructed' cuts the unpruned network itself, but the candidate has "
                "none; give it as model"
            )
        cut = candidate.model, candidate.space, candidate.policy, candidate.scores
        images = _first(candidate.calibration)
        return accuracy(prune(*cut, "reconstruct", images).eval(), candidate.held_out)


def _first(batches: Iterable[Pair]) -> Iterator[Pair]:
    """The first ``IMAGES`` images."""
    left = IMAGES
    for inputs, targets in batches:
        yield part(inputs, 0, left), part(targets, 0, left)
        left -= items(inputs)
        if left <= 0:
            return
