"""Surgery ``plain``: nothing but the cut."""

from __future__ import annotations

from functools import partial

from torch import nn

from prune_ops.surgery.protocol import Batches, Cutter, Groups
from spaces.slicing import cut


class Plain:
    """The kept weights stay as they are.

    The mechanical cut: the kept weights, biases and statistics are those of the model.
    """

    name = "plain"
    needs_images = False

    def prepare(
        self,
        model: nn.Module,
        groups: Groups,
        batches: Batches,  # noqa: ARG002
    ) -> Cutter:
        return partial(cut, model, groups)
