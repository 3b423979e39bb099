"""layer_damage: a group's loss of accuracy when random shares of it go, over all shares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from prune_ops.sensitivities.sensitivity import Ablating, Plan, ablation, first_within
from spaces import Budget, Policy, Space
from spaces.groups import ChannelGroup

SHARES = 5
DRAWS = 3
"""Random ablations of a group: this many shares, each drawn this often."""


class LayerDamage(Ablating):
    """Accuracy lost as more and more of one group is zeroed.

    D_l = ∫ (A₀ − E A(random share p of group l zeroed)) dp, A the accuracy, p from 0 to 1.

    One figure per group, independent of any criterion: the mean over the middles of `SHARES` equal
    parts of [0, 1] (0.1, 0.3, …), each with `DRAWS` random choices of the channels. Larger removed
    shares include the smaller ones, and at least one channel is kept. Each group keeps a share of
    its channels in proportion to its damage, up to the whole group, with the largest factor that
    the budget allows.

    This is the sensitiveness strategy. It claims that the order of the layers after a short
    training is that after a full one; ``benchmarks/layer_damage.py`` measures that.
    """

    name = "layer_damage"
    unit = "accuracy"

    def ablations(self, group: ChannelGroup, ranking: np.ndarray, seed: int) -> Plan:  # noqa: ARG002
        generator = np.random.default_rng(seed)
        orders = [generator.permutation(group.channels) for _ in range(DRAWS)]
        return [[ablation(group, o, width) for o in orders] for width in self.widths(group)]

    def widths(self, group: ChannelGroup) -> tuple[int, ...]:
        kept = (np.arange(SHARES) + 0.5) / SHARES * group.channels
        return tuple(np.maximum(kept.round().astype(int), 1).tolist())

    def policy(self, space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
        means = [max(float(damages[g.name].double().mean()), 0.0) for g in space.groups]
        # The factors from which on a group keeps each of its choices.
        needed = [
            np.divide(g.choices, d * g.channels) if d > 0 else np.full(len(g.choices), np.inf)
            for g, d in zip(space.groups, means, strict=True)
        ]

        def chosen(level: float) -> list[int]:
            return [max(int((factors <= -level).sum()) - 1, 0) for factors in needed]

        levels = -np.unique(np.concatenate([*needed, np.zeros(1)]))[::-1]
        return first_within(space, levels, chosen, budget)
