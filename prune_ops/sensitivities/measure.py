"""Measuring sensitivities: groups are pruned one at a time, each network is evaluated once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prune_ops.batches import Pair, read
from prune_ops.calibrate import statistics
from prune_ops.collectors.collector import Loss, Metric
from prune_ops.criterion import CalibrationStats
from prune_ops.running import accuracy, batch_loss
from prune_ops.scores import Scores, ranked
from prune_ops.sensitivities import SENSITIVITIES
from prune_ops.sensitivities.sensitivity import (
    Ablating,
    Ablation,
    ClosedForm,
    Evaluation,
    Plan,
)
from spaces import Space, copied, slice_model
from spaces.errors import UserError, unknown

Damages = dict[str, Tensor]
"""Group name → ``(widths,)`` float64 on the CPU: how much worse each ablation made the network."""
Done = Callable[[int, int], None]
"""``done(networks, of)``: the number of networks evaluated, and of all."""


def measure(
    model: nn.Module,
    space: Space,
    scores: Scores,
    batches: Sequence[Pair],
    sensitivities: Sequence[str],
    seed: int = 0,
    done: Done = lambda _networks, _of: None,
    loss: Loss = cross_entropy,
    stats: CalibrationStats | None = None,
    metric: Metric = accuracy,
) -> dict[str, Damages]:
    """Each sensitivity's damages of every group.

    >>> found = measure(model, space, scores["l1"], task.held_out(), ["iso_damage"])
    >>> SENSITIVITIES["iso_damage"].policy(space, found["iso_damage"], Budget.parse("0.5"))

    An ablation that several sensitivities use is evaluated once.

    Args:
        model: the unpruned network; it stays unchanged.
        scores: rank the channels of a group.
        batches: ``(inputs, targets)`` on the model's device; read once for each ablation. The
            network gives logits for inputs of any form, targets are classes, unless ``loss`` and
            ``metric`` take others.
        sensitivities: names in ``SENSITIVITIES``.
        seed: for sensitivities that draw.
        done: called after every network.
        loss: as in `prune_ops.score`.
        stats: of `prune_ops.statistics` for these sensitivities; None to collect them from the
            batches.
        metric: ``metric(model, batches)`` → what networks are judged by, higher for better ones.

    Raises:
        UserError: an unknown sensitivity, one that cannot judge this network, no image, a network
            that gives no logits, or a loss that is not finite.
    """
    if missing := [name for name in sensitivities if name not in SENSITIVITIES]:
        raise unknown("sensitivity", missing[0], SENSITIVITIES)
    rankings = ranked(space, scores)
    ablating = {n: s for n in sensitivities if isinstance(s := SENSITIVITIES[n], Ablating)}
    rated = any(each.unit == "accuracy" for each in ablating.values())
    judged = partial(evaluate, batches=batches, loss=loss, metric=metric if rated else None)
    found = _ablated(model, space, rankings, judged, ablating, seed, done) if ablating else {}
    closed = {n: s for n in sensitivities if isinstance(s := SENSITIVITIES[n], ClosedForm)}
    if closed and stats is None:
        stats = statistics(model, space, batches, closed, loss, seed)
    if stats is not None:
        known = space, rankings, stats, loss
        found |= {name: _foreseen(sensitivity, *known) for name, sensitivity in closed.items()}
    return {name: found[name] for name in sensitivities}


def _foreseen(
    sensitivity: ClosedForm,
    space: Space,
    rankings: Mapping[str, np.ndarray],
    stats: CalibrationStats,
    loss: Loss,
) -> Damages:
    """Of a sensitivity that cuts no network."""
    tables = sensitivity.damages(space, rankings, stats, loss)
    if broken := [name for name, damages in tables.items() if not np.isfinite(damages).all()]:
        raise UserError(
            f"damages must be finite, but {sensitivity.name!r} gave nan or inf in "
            f"{', '.join(broken[:3])}; check that the weights and the images are finite"
        )
    return {name: torch.from_numpy(damages.copy()) for name, damages in tables.items()}


def _ablated(
    model: nn.Module,
    space: Space,
    rankings: Mapping[str, np.ndarray],
    judged: Callable[[nn.Module], Evaluation],
    chosen: Mapping[str, Ablating],
    seed: int,
    done: Done,
) -> dict[str, Damages]:
    plans = {
        name: {g.name: each.ablations(g, rankings[g.name], seed) for g in space.groups}
        for name, each in chosen.items()
    }
    every_plan = [plan for by_group in plans.values() for plan in by_group.values()]
    ablations = dict.fromkeys(a for plan in every_plan for draws in plan for a in draws)
    model = copied(model).eval()
    evaluations = {}
    for number, ablation in enumerate((None, *ablations)):
        evaluations[ablation] = _evaluated(model, space, ablation, judged)
        done(number + 1, len(ablations) + 1)
    return {
        name: {group: _damages(chosen[name], plan, evaluations) for group, plan in by_group.items()}
        for name, by_group in plans.items()
    }


def _damages(
    sensitivity: Ablating, plan: Plan, evaluations: dict[Ablation | None, Evaluation]
) -> Tensor:
    whole = sensitivity.cost(evaluations[None])
    costs = [np.mean([sensitivity.cost(evaluations[a]) for a in draws]) for draws in plan]
    return torch.tensor(costs, dtype=torch.float64) - whole


def _evaluated(
    model: nn.Module,
    space: Space,
    ablation: Ablation | None,
    judged: Callable[[nn.Module], Evaluation],
) -> Evaluation:
    """Of the ablated network, or of the whole one."""
    if ablation is not None:
        model = slice_model(model, space, {ablation.group: np.array(ablation.kept)})
    evaluation = judged(model)
    if not np.isfinite(evaluation.loss):
        cut = f"with {len(ablation.kept)} channels in {ablation.group}" if ablation else "as it is"
        raise UserError(
            f"the loss of the network {cut} must be finite, but is {evaluation.loss}; check that "
            "the weights and the images are finite"
        )
    return evaluation


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Sequence[Pair],
    loss: Loss = cross_entropy,
    metric: Metric | None = accuracy,
) -> Evaluation:
    """The loss, a mean over the items, and the metric, if any, of a network in its own mode."""
    losses, images = [], 0
    for batch in read(batches):
        value = batch_loss(model, loss, batch.inputs, batch.targets, "a sensitivity")
        losses.append(value.double() * batch.images)
        images += batch.images
    if not images:
        raise UserError(
            "sensitivities need at least 1 image, but got none; give more training data"
        )
    mean = torch.stack(losses).sum().item() / images
    return Evaluation(mean, math.nan if metric is None else metric(model, batches))
