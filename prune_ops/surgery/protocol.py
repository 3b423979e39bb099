"""What a surgery is, and what several of them share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from torch import nn

from prune_ops.batches import Batch
from spaces import copied
from spaces.groups import ChannelGroup, Member
from spaces.slicing import Selection


class Surgery(Protocol):
    """Makes the smaller model.

    Attributes:
        name: its key in ``SURGERIES`` and on the command line.
        needs_images: whether it looks at calibration images.
    """

    name: str
    needs_images: bool

    def __call__(
        self,
        model: nn.Module,
        groups: tuple[ChannelGroup, ...],
        selection: Selection,
        batches: Sequence[Batch],
    ) -> nn.Module:
        """A new network of the shapes and names that ``cut`` gives; ``model`` is untouched.

        A layer that the surgery can do nothing for is cut plainly.

        Args:
            groups: of ``model``.
            selection: which of their channels stay; groups left out stay whole.
            batches: read only if ``needs_images``, and then there is an image; none is empty.
        """
        ...


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


def watched(model: nn.Module) -> nn.Module:
    """The same network in eval mode: other modules around the very tensors of ``model``."""
    tensors = [*model.parameters(), *model.buffers()]
    return copied(model, {id(tensor): tensor for tensor in tensors}).eval()
