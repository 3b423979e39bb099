"""iso_damage: the summed damages of pruning each group alone to its width."""

from __future__ import annotations

import numpy as np

from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.sensitivities.levels import on_lattice
from spaces.errors import UserError


class IsoDamage(Proxy):
    """Minus the sum over groups of the measured rise of the loss at the policy's width.

    Read from the table of the sensitivity of this name, which is measured once for all policies.
    0 for the unpruned network. It ignores interactions between groups.
    """

    name = "iso_damage"

    def score(self, candidate: PrunedCandidate) -> float:
        groups = candidate.space.groups
        if missing := [g.name for g in groups if g.name not in candidate.damages]:
            raise UserError(
                "proxy 'iso_damage' needs the damages that sensitivity 'iso_damage' measures, but "
                f"there are none of {', '.join(missing[:3])}; give the candidate those of "
                "prune_ops.measure"
            )
        costs = [
            np.interp(
                candidate.policy[group.name],
                group.choices,
                on_lattice(group, candidate.damages[group.name]),
            )
            for group in groups
        ]
        return 0.0 - float(np.sum(costs))
