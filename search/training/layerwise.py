"""Pruning layer by layer: one group is pruned and the network trained a little, then the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from prune_ops import Selection
from prune_ops.surgery.pruning import step
from search.data.splits import Batch
from search.training import checkpoints
from search.training.checkpoints import Checkpoint, State, copied_to_cpu
from spaces import ChannelGroup, Policy, Space
from spaces.state import set_state, state_of

Tune = Callable[[nn.Module, int], None]
"""``tune(network, stage)`` trains the network of stage 0, 1, ... in place."""


@dataclass(frozen=True)
class Layerwise:
    """Prunes the groups that lose channels one at a time, in the network's order.

    The kept channels are chosen before the first stage. ``tune`` decides how long a stage is
    trained; the surgery of a stage sees the network as it then is. Cut short, it goes on from
    ``checkpoint`` with the stage that was under way.

    Luo et al., ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression, ICCV
    2017: one or two epochs of fine-tuning after each layer, more after the last.

    Attributes:
        model: is not changed.
        batches: for the surgery, on the model's device.
    """

    model: nn.Module
    space: Space
    selection: Selection
    surgery: str
    batches: Sequence[Batch]
    tune: Tune
    checkpoint: Checkpoint

    def run(self) -> nn.Module:
        """The pruned network, as the last stage's training left it."""
        done, network, groups = self._restored()
        saved_at = time.monotonic()
        for stage, name in list(enumerate(self._names))[done:]:
            chosen = {name: self.selection[name]}
            network, groups = step(network, groups, chosen, self.surgery, self.batches)
            self.tune(network, stage)
            if time.monotonic() - saved_at >= checkpoints.EVERY_SECONDS:
                state: State = {"stages": stage + 1, "model": copied_to_cpu(state_of(network))}
                self.checkpoint.checkpoints.save(self.checkpoint.key, state)
                saved_at = time.monotonic()
        return network

    def drop(self) -> None:
        """Forget the saved stages."""
        self.checkpoint.checkpoints.drop(self.checkpoint.key)

    @property
    def _names(self) -> list[str]:
        return [g.name for g in self.space.groups if len(self.selection[g.name]) < g.channels]

    def _restored(self) -> tuple[int, nn.Module, tuple[ChannelGroup, ...]]:
        """How many stages are done, and the network and groups after them."""
        state = self.checkpoint.checkpoints.load(self.checkpoint.key)
        done = state["stages"] if state else 0
        chosen = {name: self.selection[name] for name in self._names[:done]}
        network, groups = step(self.model, self.space.groups, chosen)
        if state is not None:
            set_state(network, state["model"])
        return done, network.eval(), groups


def stages(space: Space, policy: Policy) -> Iterator[Policy]:
    """The policies of all stages, from the unpruned network to this policy."""
    widths: Mapping[str, int] = space.full
    for group in space.groups:
        if policy[group.name] < group.channels:
            widths = {**widths, group.name: policy[group.name]}
            yield Policy(widths)


def layer_flops(space: Space, policy: Policy, epochs: int) -> int:
    """Multiply-adds of all stages for one image, with ``epochs`` forward passes in each."""
    return epochs * sum(space.flops(stage) for stage in stages(space, policy))
