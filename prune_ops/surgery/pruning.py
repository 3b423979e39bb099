"""policy + scores + model → a smaller model, by any surgery."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from prune_ops.batches import Pair, read
from prune_ops.scores import Scores, select
from prune_ops.surgery import SURGERIES
from prune_ops.surgery.protocol import Cutter, Groups
from spaces import Space
from spaces.errors import UserError, unknown
from spaces.policy import Policy
from spaces.slicing import Selection, check_places, named_tensors, narrowed
from spaces.space import knowing

Pruner = Callable[[Policy, Scores], nn.Module]
"""Cuts one model by a policy and the scores of its channels."""


def prune(
    model: nn.Module,
    space: Space,
    policy: Policy,
    scores: Scores,
    surgery: str = "plain",
    batches: Iterable[Pair] = (),
) -> nn.Module:
    """A new, smaller network that keeps the policy's number of best channels in every group.

    >>> small = prune(model, space, space.uniform(0.5), scores["second_order"])  # doctest: +SKIP

    ``model`` is unchanged. Module attributes (``out_channels``, ``groups``, …) follow the tensors,
    whose names stay. The ``surgery`` determines the kept weights, biases and statistics; by default
    they are those of ``model``.

    Args:
        surgery: a name in ``SURGERIES``.
        batches: ``(inputs, targets)`` as ``score`` takes them; read by a surgery that needs images,
            which ignores targets.

    Raises:
        UserError: the policy or the scores were made for another space, an unknown surgery, or no
            images for one that needs them, or images that give nan or inf.
        ModelError: the model is not the one that the space was discovered on, or does not run on
            the batches.
    """
    selection = select(space, policy, scores)
    small = operate(model, space.groups, selection, surgery, batches, space.batched)
    return knowing(small, space, selection)


def pruner(
    model: nn.Module, space: Space, surgery: str = "plain", batches: Iterable[Pair] = ()
) -> Pruner:
    """As `prune`, for many policies: what the surgery measures of ``model`` is measured once.

    >>> cut = pruner(model, space, "reconstruct", batches)  # doctest: +SKIP
    >>> small = cut(space.uniform(0.5), scores["l1"])       # doctest: +SKIP

    Every network is the one that `prune` gives. ``model`` must not change as long as the function
    is used. It holds what was measured, and may hold the images.
    """
    cutter = _prepared(model, space.groups, surgery, batches, space.batched)

    def pruned(policy: Policy, scores: Scores) -> nn.Module:
        selection = select(space, policy, scores)
        return knowing(cutter(selection), space, selection)

    return pruned


def operate(
    model: nn.Module,
    groups: Groups,
    selection: Selection,
    surgery: str = "plain",
    batches: Iterable[Pair] = (),
    batched: bool = True,
) -> nn.Module:
    """As `prune`, keeping a selection of channels; groups that it leaves out stay whole."""
    return _prepared(model, groups, surgery, batches, batched)(selection)


def _prepared(
    model: nn.Module, groups: Groups, surgery: str, batches: Iterable[Pair], batched: bool
) -> Cutter:
    """The surgery of that name, prepared; UserError if it is unknown or lacks images."""
    if surgery not in SURGERIES:
        raise unknown("surgery", surgery, SURGERIES)
    chosen = SURGERIES[surgery]
    images = list(read(batches, batched)) if chosen.needs_images else []
    if chosen.needs_images and not images:
        raise UserError(
            f"surgery {surgery!r} needs at least 1 calibration image, but got none; give batches "
            "or use plain"
        )
    check_places(named_tensors(model), groups)
    return chosen.prepare(model, groups, images)


def step(
    model: nn.Module,
    groups: Groups,
    selection: Selection,
    surgery: str = "plain",
    batches: Iterable[Pair] = (),
) -> tuple[nn.Module, Groups]:
    """As `operate`, also giving the smaller model's groups, so that it can be pruned further."""
    small = operate(model, groups, selection, surgery, batches)
    return small, narrowed(groups, selection, named_tensors(model))
