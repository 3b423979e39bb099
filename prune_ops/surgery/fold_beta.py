"""fold_beta: the constant output of channels with scale zero moves into their readers' biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from prune_ops.least_squares import finite
from prune_ops.running import forward
from prune_ops.surgery.protocol import Batches, Cutter, Groups, eval_copy, readers, removed
from prune_ops.tracing import Call, OutputTracer
from spaces import copied
from spaces.groups import ChannelGroup
from spaces.slicing import Selection, cut, named_tensors


class FoldBeta:
    """What removed channels always add goes into the next bias.

    Each reader's bias takes what the removed channels add to it when their scales are 0.

    A channel of BatchNorm scale γ = 0 is not silent: it emits act(β). The network is run with the
    removed channels' scales at 0, and what each convolution or linear layer receives from them, the
    mean over images and positions, is added to its bias. For a reader without a bias that feeds
    directly into a BatchNorm it is subtracted from that running mean, so no parameter is new.

    Where γ was 0 before and no zeros are padded between the channel and its reader's output, the
    pruned network computes the same function. Zero padding makes the constant smaller at the
    border; there the mean minimises the squared error. Channels without a BatchNorm scale, and
    readers with neither a bias nor a BatchNorm behind, are cut plainly.

    Definition: Ye et al., Rethinking the Smaller-Norm-Less-Informative Assumption in Channel
    Pruning of Convolution Layers, ICLR 2018, for the scales of Liu et al., Learning Efficient
    Convolutional Networks through Network Slimming, ICCV 2017.
    """

    name = "fold_beta"
    needs_images = True

    def prepare(self, model: nn.Module, groups: Groups, batches: Batches) -> Cutter:
        return partial(_folded, model, groups, batches)


def _folded(model: nn.Module, groups: Groups, batches: Batches, selection: Selection) -> nn.Module:
    """The network cut to the selection; the shifts depend on it, and are measured each time."""
    silenced, folded = copied(model), copied(model)
    names = {id(tensor): name for name, tensor in named_tensors(silenced).items()}
    tracer = _ShiftTracer(_silence(silenced, groups, selection))
    network, tensors = eval_copy(silenced), named_tensors(folded)
    with torch.no_grad():
        with tracer:
            for batch in batches:
                forward(network, batch.inputs)
        for key, (total, images) in tracer.shifts.items():
            if key in names:
                tensors[names[key]] += finite(total) / images
    return cut(folded, groups, selection)


class _ShiftTracer(OutputTracer):
    """``shifts``: id of a bias or running mean → the sum of its shifts over images, their number.

    ``lost``: weight → the part of it that reads removed channels, zero elsewhere.
    """

    def __init__(self, lost: Mapping[nn.Parameter, Tensor]) -> None:
        super().__init__(lost)
        self._lost = lost
        self.shifts: dict[int, tuple[Tensor, int]] = {}

    def used(self, call: Call, result: Tensor) -> Any:  # noqa: ARG002
        outputs = call.flattened(call.outputs_with(self._lost[call.weight]))
        images, shift = len(outputs), outputs.double().mean((0, 2))
        if call.arguments.get("bias") is None:
            return images, shift
        self._add(call.arguments["bias"], images, shift)
        return None

    def normalised(self, trail: Any, arguments: Mapping[str, Any]) -> None:
        images, shift = trail
        self._add(arguments["running_mean"], images, -shift)

    def _add(self, target: Tensor, images: int, shift: Tensor) -> None:
        total, count = self.shifts.get(id(target), (torch.zeros_like(shift), 0))
        self.shifts[id(target)] = total + images * shift, count + images


def _silence(
    model: nn.Module, groups: Sequence[ChannelGroup], selection: Selection
) -> dict[nn.Parameter, Tensor]:
    """Set the removed channels' scales to 0; the parts of the weights that read these channels."""
    scales = {id(m.weight) for m in model.modules() if isinstance(m, _BatchNorm) and m.affine}
    parameters = dict(model.named_parameters())
    masks: dict[nn.Parameter, Tensor] = {}
    for group, lost in removed(groups, selection):
        norms = [m for m in group.members if id(parameters.get(m.parameter)) in scales]
        for member in norms:
            parameters[member.parameter].data[torch.as_tensor(member.index[lost].ravel())] = 0
        for member in readers(group) if norms else ():
            weight = parameters[member.parameter]
            mask = masks.setdefault(weight, torch.zeros_like(weight))
            positions = torch.as_tensor(member.index[lost].ravel(), device=mask.device)
            mask.index_fill_(member.dim, positions, 1)
    return {weight: weight.detach() * mask for weight, mask in masks.items()}
