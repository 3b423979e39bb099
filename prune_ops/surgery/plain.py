"""plain: the mechanical cut and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from prune_ops.batches import Batch
from spaces.groups import ChannelGroup
from spaces.slicing import Selection, cut


class Plain:
    """The kept weights, biases and statistics are those of the model."""

    name = "plain"
    needs_images = False

    def __call__(
        self,
        model: nn.Module,
        groups: tuple[ChannelGroup, ...],
        selection: Selection,
        batches: Sequence[Batch],  # noqa: ARG002
    ) -> nn.Module:
        return cut(model, groups, selection)
