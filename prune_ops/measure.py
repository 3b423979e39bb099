"""Measuring importances: groups are cut one at a time, each cut network is judged once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prune_ops.batches import Pair, read
from prune_ops.importances import IMPORTANCES, Cut, Importance, Judged
from prune_ops.running import logits
from prune_ops.scores import Scores
from prune_ops.select import ranked
from spaces import Space, copied, slice_model
from spaces.errors import UserError, unknown

Damages = dict[str, Tensor]
"""Group name → ``(widths,)`` float64 on the CPU: how much worse each cut of it made the network."""
Done = Callable[[int, int], None]
"""``done(networks, of)``: so many of so many have been judged."""


def measure(
    model: nn.Module,
    space: Space,
    scores: Scores,
    batches: Sequence[Pair],
    importances: Sequence[str],
    seed: int = 0,
    done: Done = lambda _networks, _of: None,
) -> dict[str, Damages]:
    """What each importance finds in every group.

    >>> found = measure(model, space, scores["l1"], task.held_out(), ["iso_damage"])
    >>> IMPORTANCES["iso_damage"].policy(space, found["iso_damage"], Budget.parse("0.5"))

    Importances that ask for the same cut network share what it gave.

    Args:
        model: the unpruned network; it stays as it was.
        scores: say which channels of a group go first.
        batches: ``(inputs, targets)`` on the model's device; read once for each cut. The network
            gives logits for inputs of any form, targets are classes.
        importances: names in ``IMPORTANCES``.
        seed: for importances that draw.
        done: told after every network.

    Raises:
        UserError: an unknown importance, no image, a network that gives no logits, or a loss that
            is not finite.
    """
    chosen = [_importance(name) for name in importances]
    rankings = ranked(space, scores)
    plans = {
        each.name: {g.name: each.cuts(g, rankings[g.name], seed) for g in space.groups}
        for each in chosen
    }
    cuts = dict.fromkeys(
        cut for p in plans.values() for points in p.values() for draws in points for cut in draws
    )
    model = copied(model).eval()
    judged = {}
    for number, cut in enumerate((None, *cuts)):
        judged[cut] = _judged(model, space, cut, batches)
        done(number + 1, len(cuts) + 1)
    return {
        each.name: {name: _damages(each, points, judged) for name, points in plan.items()}
        for each, plan in zip(chosen, plans.values(), strict=True)
    }


def _importance(name: str) -> Importance:
    if name not in IMPORTANCES:
        raise unknown("importance", name, IMPORTANCES)
    return IMPORTANCES[name]


def _damages(
    importance: Importance, points: Sequence[Sequence[Cut]], judged: dict[Cut | None, Judged]
) -> Tensor:
    whole = importance.harm(judged[None])
    harms = [np.mean([importance.harm(judged[cut]) for cut in draws]) for draws in points]
    return torch.tensor(harms, dtype=torch.float64) - whole


def _judged(model: nn.Module, space: Space, cut: Cut | None, batches: Sequence[Pair]) -> Judged:
    """Of the network with that cut, or without any."""
    if cut is not None:
        model = slice_model(model, space, {cut.group: np.array(cut.kept)})
    judged = judge(model, batches)
    if not np.isfinite(judged.loss):
        where = f"with {len(cut.kept)} channels in {cut.group}" if cut else "as it is"
        raise UserError(
            f"the loss of the network {where} must be finite, but is {judged.loss}; check that the "
            "weights and the images are finite"
        )
    return judged


@torch.no_grad()
def judge(model: nn.Module, batches: Sequence[Pair]) -> Judged:
    """The loss and the accuracy of a network, in its own mode.

    Raises:
        UserError: there is no image, or the network gives no logits.
    """
    losses, hits, images = [], [], 0
    for batch in read(batches):
        targets = batch.targets
        outputs = logits(model, batch.inputs, targets, "an importance").float()
        losses.append(cross_entropy(outputs, targets, reduction="sum"))
        hits.append((outputs.argmax(1) == targets).sum())
        images += len(targets)
    if not images:
        raise UserError("importances need at least 1 image, but got none; give more training data")
    loss, right = torch.stack(losses).sum(), torch.stack(hits).sum()
    return Judged(loss.item() / images, right.item() / images)
