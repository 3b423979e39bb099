"""layer_damage: how much accuracy a group costs when random shares of it go, over all shares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from prune_ops.importances.cuts import Cut, Judged
from prune_ops.importances.levels import first_within
from spaces import Budget, Policy, Space
from spaces.groups import ChannelGroup

SHARES = 5
DRAWS = 3
"""Random cuts of a group: so many shares, each drawn so often."""


class LayerDamage:
    """D_l = ∫ (A₀ − E A(random share p of group l zeroed)) dp, A the accuracy, p from 0 to 1.

    One figure a group, independent of any criterion: the mean over the middles of `SHARES` equal
    parts of [0, 1] (0.1, 0.3, …), each with `DRAWS` random choices of the channels. What goes at a
    larger share includes what goes at a smaller one, and at least one channel stays. Each group
    keeps a share of its channels in proportion to its damage, the factor as large as the budget
    allows: D_l twice as large, twice the share, up to the whole group.

    This is the sensitiveness strategy. Its claim is that the order of the layers after a short
    training is that after a full one; ``benchmarks/layer_damage.py`` measures that.
    """

    name = "layer_damage"
    unit = "accuracy"

    def cuts(self, group: ChannelGroup, ranking: np.ndarray, seed: int) -> list[list[Cut]]:  # noqa: ARG002
        generator = np.random.default_rng(seed)
        orders = [generator.permutation(group.channels) for _ in range(DRAWS)]
        return [
            [Cut(group.name, tuple(sorted(order[:width].tolist()))) for order in orders]
            for width in self.widths(group)
        ]

    def harm(self, judged: Judged) -> float:
        return -judged.accuracy

    def widths(self, group: ChannelGroup) -> tuple[int, ...]:
        kept = (np.arange(SHARES) + 0.5) / SHARES * group.channels
        return tuple(np.maximum(kept.round().astype(int), 1).tolist())

    def policy(self, space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
        """Widths in proportion to the damages, on the lattice and scaled to the budget."""
        bearing = [max(float(damages[g.name].double().mean()), 0.0) for g in space.groups]
        # The factors from which on a group keeps each of its choices.
        needed = [
            np.divide(g.choices, d * g.channels) if d > 0 else np.full(len(g.choices), np.inf)
            for g, d in zip(space.groups, bearing, strict=True)
        ]

        def widths(level: float) -> list[int]:
            reached = [max(int((factors <= -level).sum()), 1) for factors in needed]
            return [g.choices[count - 1] for g, count in zip(space.groups, reached, strict=True)]

        levels = -np.unique(np.concatenate([*needed, np.zeros(1)]))[::-1]
        return first_within(space, levels, widths, budget)
