"""repaired_damage: how far the outputs move once the remaining channels have made up for a cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prune_ops import surgeon
from prune_ops.channels import channel_sums, weights
from prune_ops.collecting import directions, run_backward
from prune_ops.collectors.collector import Collector, Loss, Subject
from prune_ops.collectors.readers import OutputGradients
from prune_ops.compensation import channel_factors, compensated, kept
from prune_ops.contributions import reads
from prune_ops.criterion import CalibrationStats
from prune_ops.running import repeatable
from prune_ops.sensitivities.sensitivity import ClosedForm, measured_widths
from spaces import Budget, Policy, Space
from spaces.groups import ChannelGroup, Member

AT_ONCE = 2**28
"""Numbers of changed weights that are held at a time; beyond, images are passed several times."""


class RepairedDamage(ClosedForm):
    """What a cut of one group costs once others have made up for it.

    D_g(w) = ½ E[(Σ G·ΔW)²]: what the network's outputs lose when group g keeps w channels.

    ΔW is how the weights of all layers that read the group change when its lowest-ranked channels,
    by whatever criterion ranks them, are gone and the others make up for them
    (`prune_ops.compensation`), and G the gradient of one image's random direction of the outputs by
    those weights. So D is, to second order, the Kullback-Leibler divergence between the class
    probabilities of the unpruned and the pruned network at temperature 4; for other outputs half
    the squared change. No network is cut and nothing but calibration images is read.

    Of a group with more than eight widths seven are computed so; in between, the sum that
    `prune_ops.surgeon` foresees, which takes errors at different positions for independent, is
    multiplied by the ratio of the two. The widths of a policy are those of the least sum within the
    budget, widened by what still fits (`Space.solve_and_fill`). What two cuts do to each other is
    not seen.

    G·ΔW is exact where the second moments of ZipLM (Kurtić et al., NeurIPS 2023) take errors at all
    positions for independent, which underrates some layers much more than others
    (``benchmarks/damage_table.py``).
    """

    name = "repaired_damage"
    unit = "divergence"
    requires = surgeon.REQUIRES

    def widths(self, group: ChannelGroup) -> tuple[int, ...]:
        return group.choices[:-1]

    def damages(
        self,
        space: Space,
        rankings: Mapping[str, np.ndarray],
        stats: CalibrationStats,
        loss: Loss,
    ) -> dict[str, np.ndarray]:
        exact = exact_damages(space, rankings, stats, loss)
        return {g.name: _table(g, rankings[g.name], exact[g.name], stats) for g in space.groups}

    def policy(self, space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
        return space.policy(space.solve_and_fill(terms(space, damages), budget).widths)


def terms(space: Space, damages: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Group name → ``(choices,)``: the damage at each width; the whole group does none."""
    return {g.name: np.append(damages[g.name].double().numpy(), 0.0) for g in space.groups}


def exact_damages(
    space: Space,
    rankings: Mapping[str, np.ndarray],
    stats: CalibrationStats,
    loss: Loss,
) -> dict[str, np.ndarray]:
    """Group name → ``(measured widths,)``: ½ E[(Σ G·ΔW)²], from passes over the images."""
    damages: dict[str, np.ndarray] = {}
    for groups in _at_once(space, stats):
        subject = Subject(stats.model, space, stats.seed)
        changes = [change for group in groups for change in _changes(group, rankings, stats)]
        moved = _Moved(subject, changes)
        generator = torch.Generator().manual_seed(stats.seed + 1)
        with repeatable(stats.model):
            for batch in stats.batches:
                run_backward(subject, batch, directions(loss, generator), [moved])
        damages |= moved.result()
    return damages


def _at_once(space: Space, stats: CalibrationStats) -> Iterator[list[ChannelGroup]]:
    """All groups, so many at a time that their changes fit into memory."""
    chosen: list[ChannelGroup] = []
    numbers = 0
    for group in space.groups:
        own = sum(
            stats.parameters[m.parameter].numel() for m in weights(group, stats.parameters, {"in"})
        ) * len(measured_widths(group))
        if chosen and numbers + own > AT_ONCE:
            yield chosen
            chosen, numbers = [], 0
        chosen.append(group)
        numbers += own
    yield chosen


@dataclass(frozen=True, slots=True)
class _Change:
    """How one parameter changes at each of a group's measured widths, K of them.

    Attributes:
        weight: ``(K, *shape)``, or ``(K, channels)`` factors that the channels' slices change by.
        members: where those slices are; empty for whole weights.
        lost: ``(K, O)``: what the outputs' means lose, and something else takes up.
    """

    group: ChannelGroup
    parameter: str
    weight: Tensor
    members: tuple[Member, ...] = ()
    lost: Tensor | None = None


def _changes(
    group: ChannelGroup, rankings: Mapping[str, np.ndarray], stats: CalibrationStats
) -> Iterator[_Change]:
    """Of every parameter that changes when the group is cut to its measured widths."""
    parameters = stats.parameters
    ranking = rankings[group.name]
    selections = [{group.name: np.sort(ranking[:width])} for width in measured_widths(group)]
    masks = torch.stack([kept(group, selection) for selection in selections])
    named: dict[str, Any] = dict(stats.model.named_parameters(remove_duplicate=False))
    readers = [
        m
        for m in weights(group, parameters, {"in"})
        if m.parameter in stats.inputs and m.parameter in stats.output_fisher
    ]
    for member in readers:
        weight, moments = parameters[member.parameter], stats.inputs[member.parameter]
        if moments.contributions:
            shared = moments.shared(group.name)
            factors = torch.stack([channel_factors(shared, mask) for mask in masks]) - 1
            yield _Change(group, member.parameter, factors, (member,))
            continue
        slices = reads([group], named)[named[member.parameter]]
        worth = stats.output_fisher[member.parameter]
        found = [compensated(weight, slices, moments, worth, each) for each in selections]
        changed = torch.stack([new - weight for new, _ in found])
        losses = [lost for _, lost in found if lost is not None]
        yield _Change(
            group, member.parameter, changed, lost=torch.stack(losses) if losses else None
        )
    if not readers:
        by_parameter: dict[str, list[Member]] = {}
        for member in weights(group, parameters):
            by_parameter.setdefault(member.parameter, []).append(member)
        for name, own in by_parameter.items():
            yield _Change(group, name, masks.double() - 1, tuple(own))


class _Moved(Collector):
    """Squared changes of the images' random directions, ½ of their mean for every change."""

    def __init__(self, subject: Subject, changes: Sequence[_Change]) -> None:
        super().__init__(subject)
        self._changes = changes
        self._means: dict[nn.Parameter, Tensor] = {}
        self._squares: dict[str, Tensor] = {}
        self._images = 0
        named: Any = dict(subject.model.named_parameters(remove_duplicate=False))
        self._named = named
        self._watched = [named[c.parameter] for c in changes if c.lost is not None]

    def observing(self, images: int) -> AbstractContextManager[Any]:
        self._images += images
        self._means.clear()

        def add(weight: nn.Parameter, gradient: Tensor) -> None:
            total = gradient.sum((0, 2))
            self._means[weight] = self._means.get(weight, 0) + total

        return OutputGradients(self._watched, add)

    def image(self, gradients: Mapping[str, Tensor]) -> None:
        moved: dict[str, Tensor] = {}
        for change in self._changes:
            own = self._moved(change, gradients[change.parameter])
            name = change.group.name
            moved[name] = moved[name] + own if name in moved else own
        for name, values in moved.items():
            squares = values.square()
            self._squares[name] = (
                self._squares[name] + squares if name in self._squares else squares
            )

    def _moved(self, change: _Change, gradient: Tensor) -> Tensor:
        """``(K,)``: Σ G·ΔW of one parameter."""
        if change.members:
            products = gradient * self.subject.weights[change.parameter]
            sums = channel_sums(change.group, change.members, {change.parameter: products})
            return change.weight.to(sums.device) @ sums.double()
        moved = (change.weight.flatten(1) @ gradient.flatten()).double()
        mean = self._means.get(self._named[change.parameter])
        if change.lost is not None and mean is not None:
            moved = moved + change.lost @ mean
        return moved

    def result(self) -> dict[str, Any]:
        return {
            name: (sums / (2 * self._images)).numpy(force=True)
            for name, sums in self._squares.items()
        }


def _table(
    group: ChannelGroup, ranking: np.ndarray, exact: np.ndarray, stats: CalibrationStats
) -> np.ndarray:
    """``(choices - 1,)``: a width does at least the damage of any wider one."""
    if len(exact) < len(group.choices) - 1:
        removal = surgeon.removal(group, stats, ranking[::-1].tolist())
        exact = _filled_in(group, removal.damages(group.choices), exact)
    return np.maximum.accumulate(exact[::-1])[::-1]


def _filled_in(group: ChannelGroup, foreseen: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """``(choices - 1,)``: of widths that were not computed, what is foreseen times the ratio."""
    measured = measured_widths(group)
    places = [group.choices.index(width) for width in measured]
    at = foreseen[places]
    ratios = np.divide(exact, at, out=np.ones_like(exact), where=(at > 0) & (exact > 0))
    ratio = np.exp(np.interp(group.choices[:-1], measured, np.log(ratios)))
    damages = foreseen[:-1] * ratio
    damages[places] = exact
    return damages
