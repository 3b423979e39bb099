"""The structures of a comparison: widths, and what their fine-tuning inherits.

| structure | kind | widths | channels and weights |
|---|---|---|---|
| ``searched`` | searched | the front of this run | the trial's criterion |
| ``uniform`` | predefined | one ratio for every layer | the run's, or the best of those searched |
| ``l1`` | predefined | the same | filters of the largest L1 norm (Li et al. 2017) |
| ``thinet`` | predefined | one ratio inside the blocks, the residual stream whole | ThiNet's |
| ``slimming`` | discovered | scales of BatchNorm after sparse training, one threshold | its own |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

import prune_ops
from prune_ops import Scores
from results import Kind
from results.record import Candidate
from search.evaluation.evaluator import Evaluator
from search.plans.finals import Finalist
from search.policies.starts import global_ranking
from spaces import Budget, ChannelGroup, Policy, Space
from spaces.errors import UserError

SLIMMING = "slimming"
"""Name of the weight source that was trained sparsely."""


@dataclass(frozen=True, slots=True)
class Structure(Finalist):
    """Widths to be trained in every arm; fine-tuning inherits what the candidate's criterion, or
    another `WeightSource` of that name, chooses."""

    kind: Kind = "predefined"


def structures(
    names: Sequence[str],
    finalists: Sequence[Finalist],
    evaluator: Evaluator,
    slim: Scores | None = None,
) -> list[Structure]:
    """The structures of every budget, searched ones first.

    Args:
        names: a selection of ``STRUCTURES``.
        finalists: the front of every budget, the best policy first, and uniform widths.
        slim: the scales of the sparsely trained network, if slimming is compared.

    Raises:
        UserError: a structure that cannot meet a budget.
    """
    chosen: list[Structure] = []
    space = evaluator.space
    for budget in dict.fromkeys(finalist.budget for finalist in finalists):
        competing = [f for f in finalists if f.budget == budget]
        uniform = next(f for f in competing if f.number is None).candidate
        if "searched" in names:
            chosen += [
                Structure(f.name, f.candidate, budget, f.number, f.best, "searched")
                for f in competing
                if f.number is not None
            ]
        if "uniform" in names:
            chosen.append(Structure("uniform", uniform, budget))
        if "l1" in names:
            chosen.append(Structure("l1", Candidate(uniform.policy, "l1"), budget))
        if "thinet" in names:
            policy = inside_blocks(evaluator.task.model, space, budget)
            chosen.append(Structure("thinet", Candidate(policy, "thinet"), budget))
        if slim is not None:
            found = Candidate(global_ranking(space, slim, budget, "bn_scale"), SLIMMING)
            chosen.append(Structure("slimming", found, budget, kind="discovered"))
    return chosen


CHOOSERS = {"l1": "l1", "thinet": "thinet", SLIMMING: "bn_scale"}
"""The criterion by which a structure has its channels; the others have the run's."""


def check_structure(name: str, model: nn.Module, space: Space, budgets: Sequence[Budget]) -> None:
    """Refuse a structure that the network cannot have, or that cannot meet a budget.

    Raises:
        UserError: why.
    """
    if name in CHOOSERS:
        try:
            prune_ops.check_criteria([CHOOSERS[name]], model, space)
        except UserError as error:
            raise UserError(f"--structures {name} cannot be: {error}") from error
    if name == "thinet":
        for budget in budgets:
            inside_blocks(model, space, budget)


def inside_blocks(model: nn.Module, space: Space, budget: Budget) -> Policy:
    """One ratio for every group that a single layer makes; residual streams stay whole, as ThiNet
    prunes residual networks.

    From the smallest widths on, the group that keeps the smallest share of its channels gets one
    more step of its lattice, while the budget lasts.

    Raises:
        UserError: the residual streams alone exceed the budget.
    """
    streams = residual_streams(model, space)
    widths = [g.channels if g.name in streams else g.choices[0] for g in space.groups]
    if not space.meets(np.array(widths), budget):
        raise UserError(
            f"--structures thinet keeps residual streams whole and so cannot meet budget {budget}; "
            "leave it out, or take a larger budget"
        )
    while (wider := _one_step_wider(space, widths, budget)) is not None:
        widths = wider
    return space.policy(np.array(widths))


def _one_step_wider(space: Space, widths: list[int], budget: Budget) -> list[int] | None:
    """The widths with one more step for the group of the smallest share that fits; None if none."""
    shares = [width / g.channels for width, g in zip(widths, space.groups, strict=True)]
    for k in sorted(range(len(widths)), key=lambda k: shares[k]):
        more = [choice for choice in space.groups[k].choices if choice > widths[k]]
        if more:
            wider = [*widths[:k], more[0], *widths[k + 1 :]]
            if space.meets(np.array(wider), budget):
                return wider
    return None


def residual_streams(model: nn.Module, space: Space) -> frozenset[str]:
    """Groups to which several layers add; depthwise convolutions do not count."""
    return frozenset(g.name for g in space.groups if _producers(model, g) > 1)


def _producers(model: nn.Module, group: ChannelGroup) -> int:
    made_by = {m.parameter.rpartition(".")[0] for m in group.members if m.kind == "out"}
    return sum(getattr(model.get_submodule(name), "groups", 1) == 1 for name in made_by)
