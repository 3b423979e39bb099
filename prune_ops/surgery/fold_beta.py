"""fold_beta: what a channel of scale zero still emitted goes into the bias of who read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from prune_ops.batches import Batch
from prune_ops.equations import finite
from prune_ops.following import Call, Followed
from prune_ops.running import ran
from prune_ops.surgery.protocol import readers, removed, watched
from spaces import copied
from spaces.groups import ChannelGroup
from spaces.slicing import Selection, cut


class FoldBeta:
    """Each reader of removed channels gets, in its bias, what they add when their scales are 0.

    A channel of BatchNorm scale γ = 0 is no silent one: it emits act(β). The network is run with
    the removed channels' scales at 0, and what each convolution or linear layer gets from them,
    the mean over images and positions, is added to its bias. A reader without a bias that goes
    directly into a BatchNorm has it taken off that one's running mean, so no parameter is new.

    Where γ was 0 before and no zeros are padded between the channel and its reader's output, the
    pruned network computes what the unpruned one did. Zeros around a map make the constant smaller
    at its border; there the mean is the constant of the least squared error, which matters where
    maps are small: a 3x3 kernel over 2x2 positions never meets nine values. Channels without a
    BatchNorm scale, and readers with neither a bias nor a BatchNorm behind, are cut plainly.

    Definition: Ye et al., Rethinking the Smaller-Norm-Less-Informative Assumption in Channel
    Pruning of Convolution Layers, ICLR 2018, for the scales of Liu et al., Learning Efficient
    Convolutional Networks through Network Slimming, ICCV 2017.
    """

    name = "fold_beta"
    needs_images = True

    def __call__(
        self,
        model: nn.Module,
        groups: tuple[ChannelGroup, ...],
        selection: Selection,
        batches: Sequence[Batch],
    ) -> nn.Module:
        silenced = copied(model)
        names = {id(tensor): name for name, tensor in _tensors(silenced).items()}
        found = _Shifts(_silence(silenced, groups, selection))
        network = watched(silenced)
        with torch.no_grad(), found:
            for batch in batches:
                ran(network, batch.inputs)
        folded = copied(model)
        tensors = _tensors(folded)
        with torch.no_grad():
            for key, (total, calls) in found.shifts.items():
                if key in names:
                    tensors[names[key]] += finite(total) / calls
        return cut(folded, groups, selection)


class _Shifts(Followed):
    """``shifts``: id of a bias or running mean → what its calls add to it in all, their number.

    Args:
        lost: weight → the same, zero where it reads channels that stay.
    """

    def __init__(self, lost: Mapping[nn.Parameter, Tensor]) -> None:
        super().__init__(lost)
        self._lost = lost
        self.shifts: dict[int, tuple[Tensor, int]] = {}

    def used(self, call: Call, result: Tensor) -> Any:  # noqa: ARG002
        parts = call.listed(call.of(self._lost[call.weight]))
        images, shift = len(parts), parts.double().mean((0, 2))
        if call.given.get("bias") is None:
            return images, shift
        self._add(call.given["bias"], images, shift)
        return None

    def normalised(self, trail: Any, given: Mapping[str, Any]) -> None:
        images, shift = trail
        self._add(given["running_mean"], images, -shift)

    def _add(self, target: Tensor, images: int, shift: Tensor) -> None:
        total, calls = self.shifts.get(id(target), (torch.zeros_like(shift), 0))
        self.shifts[id(target)] = total + images * shift, calls + images


def _silence(
    model: nn.Module, groups: Sequence[ChannelGroup], selection: Selection
) -> dict[nn.Parameter, Tensor]:
    """Set the scales of removed channels to 0; what is left of the weights that read these."""
    scales = {id(m.weight) for m in model.modules() if isinstance(m, _BatchNorm) and m.affine}
    parameters = dict(model.named_parameters())
    masks: dict[nn.Parameter, Tensor] = {}
    for group, lost in removed(groups, selection):
        norms = [m for m in group.members if id(parameters.get(m.parameter)) in scales]
        for member in norms:
            parameters[member.parameter].data[_places(member.index[lost])] = 0
        for member in readers(group) if norms else ():
            weight = parameters[member.parameter]
            mask = masks.setdefault(weight, torch.zeros_like(weight))
            mask.index_fill_(member.dim, _places(member.index[lost]).to(mask.device), 1)
    return {weight: weight.detach() * mask for weight, mask in masks.items()}


def _places(index: Any) -> Tensor:
    return torch.as_tensor(index.ravel())


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())
