"""predicted_damage and iso_damage: the damages of pruning single groups, summed.

Both are 0 for the unpruned network, and ignore interactions between removals.
"""

from __future__ import annotations

import numpy as np

from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.scores import select
from prune_ops.sensitivities.sensitivity import on_lattice
from spaces.errors import UserError


class PredictedDamage(Proxy):
    """Minus the scores of all removed channels, added up.

    Minus the sum over groups of the scores of the channels that the policy removes.

    In the criterion's unit; give :func:`prune_ops.normalised` scores of a criterion that is not
    ``comparable``. A weight between two removed channels counts in both.

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


class IsoDamage(Proxy):
    """Minus the measured rise of the loss by each cut, added up.

    Minus the sum over groups of the measured rise of the loss at the policy's width.

    Read from the table of the sensitivity of this name, which is measured once for all policies.
    """

    name = "iso_damage"

    def score(self, candidate: PrunedCandidate) -> float:
        groups, damages = candidate.space.groups, candidate.damages
        if missing := [g.name for g in groups if g.name not in damages]:
            raise UserError(
                "proxy 'iso_damage' needs the damages that sensitivity 'iso_damage' measures, but "
                f"there are none of {', '.join(missing[:3])}; give the candidate those of "
                "prune_ops.measure"
            )
        costs = [
            np.interp(candidate.policy[g.name], g.choices, on_lattice(g, damages[g.name]))
            for g in groups
        ]
        return 0.0 - float(np.sum(costs))
