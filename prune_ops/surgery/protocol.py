"""The surgery protocol, and helpers that several surgeries share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from torch import nn

from prune_ops.batches import Batch
from spaces import copied
from spaces.groups import ChannelGroup, Member
from spaces.slicing import Selection

Groups = tuple[ChannelGroup, ...]
Batches = Sequence[Batch]
Cutter = Callable[[Selection], nn.Module]
"""Cuts one model to the channels to keep; groups left out stay whole.

The result is new each time, with the shapes and names that ``cut`` gives, and does not depend on
earlier calls. A layer that the surgery does not apply to is cut plainly.
"""


class Surgery(Protocol):
    """Makes smaller models of one model, for which it is prepared once.

    Attributes:
        name: its key in ``SURGERIES`` and on the command line.
        needs_images: whether it uses calibration images.
    """

    name: str
    needs_images: bool

    def prepare(self, model: nn.Module, groups: Groups, batches: Batches) -> Cutter:
        """Measure what any selection needs of ``model``, which must not change from now on.

        Neither this nor the cutter changes it.

        Args:
            groups: of ``model``.
            batches: at least one, none of them empty, if ``needs_images``; else unused.
        """


def removed(
    groups: Sequence[ChannelGroup], selection: Selection
) -> Iterator[tuple[ChannelGroup, np.ndarray]]:
    """The groups that lose channels, each with the indices of those it loses."""
    for group in groups:
        keep = selection.get(group.name, np.arange(group.channels))
        lost = np.setdiff1d(np.arange(group.channels), keep)
        if len(lost):
            yield group, lost


def readers(group: ChannelGroup) -> list[Member]:
    """The weights that read the group's channels."""
    return [member for member in group.members if member.kind == "in"]


def eval_copy(model: nn.Module) -> nn.Module:
    """The same network in eval mode: new modules that share the tensors of ``model``."""
    tensors = [*model.parameters(), *model.buffers()]
    return copied(model, {id(tensor): tensor for tensor in tensors}).eval()
