"""predicted_damage: the criterion's scores of the channels that the policy removes."""

from __future__ import annotations

import numpy as np

from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.select import select


class PredictedDamage(Proxy):
    """Minus the sum over groups of the scores of the channels that the policy removes.

    0 for the unpruned network, and in the criterion's unit; give :func:`prune_ops.normalised`
    scores of a criterion that is not ``comparable``. It is additive, so it ignores interactions
    between removals, and a weight between two removed channels counts in both.

    Candidates whose channels were chosen by different criteria would have different units. So one
    criterion judges all of them (``candidate.judge``): it sums its own scores of the channels that
    the candidate's criterion removes. At equal widths its own choice then scores best.
    """

    name = "predicted_damage"

    def score(self, candidate: PrunedCandidate) -> float:
        kept = select(candidate.space, candidate.policy, candidate.scores)
        judge = candidate.judge or candidate.scores
        lost = (np.delete(judge[name].numpy(), stay) for name, stay in kept.items())
        return 0.0 - sum(float(values.sum(dtype=np.float64)) for values in lost)
