"""surgery: policy + scores + model → a smaller model. CONTRIBUTING.md says how to add one."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from prune_ops.batches import Pair, read
from prune_ops.scores import Scores, select
from prune_ops.surgery.fold_beta import FoldBeta
from prune_ops.surgery.protocol import Batches, Groups, Surgery
from prune_ops.surgery.reconstruct import Reconstruct
from prune_ops.surgery.scale import Scale
from spaces import Space
from spaces.errors import UserError, unknown
from spaces.policy import Policy
from spaces.slicing import Selection, cut, named_tensors, narrowed
from spaces.space import knowing


class Plain:
    """The mechanical cut: the kept weights, biases and statistics are those of the model."""

    name = "plain"
    needs_images = False

    def __call__(
        self,
        model: nn.Module,
        groups: Groups,
        selection: Selection,
        batches: Batches,  # noqa: ARG002
    ) -> nn.Module:
        return cut(model, groups, selection)


_ALL: tuple[Surgery, ...] = (Plain(), FoldBeta(), Scale(), Reconstruct())

SURGERIES: dict[str, Surgery] = {surgery.name: surgery for surgery in _ALL}
"""Every surgery by name."""


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


def operate(
    model: nn.Module,
    groups: Groups,
    selection: Selection,
    surgery: str = "plain",
    batches: Iterable[Pair] = (),
    batched: bool = True,
) -> nn.Module:
    """As `prune`, keeping a selection of channels; groups that it leaves out stay whole."""
    if surgery not in SURGERIES:
        raise unknown("surgery", surgery, SURGERIES)
    chosen = SURGERIES[surgery]
    images = list(read(batches, batched)) if chosen.needs_images else []
    if chosen.needs_images and not images:
        raise UserError(
            f"surgery {surgery!r} needs at least 1 calibration image, but got none; give batches "
            "or use plain"
        )
    return chosen(model, groups, selection, images)


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
