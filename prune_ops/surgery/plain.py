"""plain: the mechanical cut and nothing else."""

from __future__ import annotations

from torch import nn

from prune_ops.surgery.protocol import Batches, Groups
from spaces.slicing import Selection, cut


class Plain:
    """The kept weights, biases and statistics are those of the model."""

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
