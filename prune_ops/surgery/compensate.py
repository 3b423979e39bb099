"""compensate: every layer that lost inputs makes up for them by itself, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from prune_ops.collectors.readers import Reading
from prune_ops.compensation import compensated
from prune_ops.contributions import reads
from prune_ops.moments import InputMoments
from prune_ops.running import forward
from prune_ops.surgery.protocol import Batches, Cutter, Groups, eval_copy, removed
from spaces import copied
from spaces.slicing import Selection, cut, named_tensors

WORTH = (0.15, 0.85)
"""What an error's deviations within an image count, and its mean over positions: typical shares of
what they do to the outputs of a network (ResNet-20: 0.61 to 0.99 for the mean, 0.85 in between)."""


class Compensate:
    """Each next layer makes up for its lost inputs, by itself.

    Each reader of removed channels gets the weights that best give back its outputs.

    Its inputs are taken to be those in ``model``, less the channels that are gone, so layers do not
    see each other's errors, as they do under ``reconstruct``. In return the images are passed once,
    through ``model`` alone: then every cut costs one small linear system a layer. A change of the
    outputs' mean goes into the layer's bias or the running mean of the BatchNorm that follows.
    Weights and moments are those of `prune_ops.compensation`, which tells what is minimised.

    Definition: the weight update of Kurtić et al., ZipLM, NeurIPS 2023, after Optimal Brain
    Surgeon, for all removed channels at once.
    """

    name = "compensate"
    needs_images = True

    def prepare(self, model: nn.Module, groups: Groups, batches: Batches) -> Cutter:
        network = eval_copy(model)
        reading = Reading(network, groups)
        with torch.no_grad():
            for batch in batches:
                with reading.observing(batch.images):
                    forward(network, batch.inputs)
        return partial(_compensated, model, groups, reading.result())


@torch.no_grad()
def _compensated(
    model: nn.Module, groups: Groups, moments: Mapping[str, InputMoments], selection: Selection
) -> nn.Module:
    changed = copied(model)
    named = dict(changed.named_parameters(remove_duplicate=False))
    every = reads(groups, named)
    losing = reads([group for group, _ in removed(groups, selection)], named)
    tensors = named_tensors(changed)
    for name, found in moments.items():
        weight = named[name]
        if weight not in losing:
            continue
        outputs = weight.shape[1] if every[weight][0][1].dim == 0 else weight.shape[0]
        worth = torch.tensor(WORTH, dtype=torch.float64, device=weight.device)
        new, lost = compensated(
            weight, every[weight], found, worth[:, None].expand(2, outputs), selection
        )
        weight.copy_(new)
        if lost is not None:
            _add_mean(tensors[found.mean_at], found.mean_at in named, lost)
    return cut(changed, groups, selection)


def _add_mean(at: Tensor, is_bias: bool, lost: Tensor) -> None:
    """To a bias; a BatchNorm subtracts its running mean."""
    at.add_(lost if is_bias else -lost)
