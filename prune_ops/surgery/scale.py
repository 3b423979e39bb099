"""scale: kept channels are scaled so that the next layer's outputs change least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from prune_ops.compensation import kept, scale_channels
from prune_ops.contributions import Layer, contributions, reads
from prune_ops.least_squares import least_squares
from prune_ops.running import forward
from prune_ops.surgery.protocol import Batches, Cutter, Groups, eval_copy
from prune_ops.tracing import LayerTracer
from spaces import copied
from spaces.groups import ChannelGroup, Member
from spaces.slicing import Selection, cut

Read = Mapping[nn.Parameter, list[tuple[ChannelGroup, Member]]]
"""Weight → the groups that it reads, and where."""


class Scale:
    """Kept channels are scaled so that the next layer misses little.

    Each reader's slice of a kept channel c is multiplied by s_c: min Σ_n (y_n − Σ_c s_c x_nc)².

    y_n is an output of the reader, before its bias, normalisation and activation, and x_nc channel
    c's contribution to it, both in ``model``; ten outputs per image are sampled, as in criterion
    ``thinet``. Each reader has its own scales; one that reads several groups has them fitted
    jointly. Where the images leave a choice, scales are as near to 1 as possible.

    Definition: Luo et al., ThiNet: A Filter Level Pruning Method for Deep Neural Network
    Compression, ICCV 2017: the least squares that follow its greedy selection.
    """

    name = "scale"
    needs_images = True

    def prepare(self, model: nn.Module, groups: Groups, batches: Batches) -> Cutter:
        grams = _grams(model, _read(model, groups), batches)
        return partial(_scaled, model, groups, list(grams.values()))


def _scaled(
    model: nn.Module, groups: Groups, grams: Sequence[Tensor], selection: Selection
) -> nn.Module:
    """The network cut to the selection; ``grams`` in the order of `_read`."""
    scaled = copied(model)
    with torch.no_grad():
        for (weight, slices), gram in zip(_read(scaled, groups).items(), grams, strict=True):
            stays = torch.cat([kept(group, selection) for group, _ in slices])
            if stays.all():
                continue
            scales = _scales(gram, stays.to(weight.device)).to(weight.dtype)
            sizes = [group.channels for group, _ in slices]
            for (_, member), own in zip(slices, scales.split(sizes), strict=True):
                scale_channels(weight, member, own)
    return cut(scaled, groups, selection)


def _read(model: nn.Module, groups: Groups) -> Read:
    """The weights that read groups."""
    return reads(groups, dict(model.named_parameters(remove_duplicate=False)))


def _grams(model: nn.Module, read: Read, batches: Batches) -> Mapping[nn.Parameter, Tensor]:
    """Weight → Σ_n x_n x_nᵀ over sampled outputs, x_n over the channels of all groups it reads."""
    sizes = {weight: sum(group.channels for group, _ in slices) for weight, slices in read.items()}
    grams = {w: torch.zeros(n, n, dtype=torch.float64, device=w.device) for w, n in sizes.items()}
    generator = torch.Generator().manual_seed(0)
    images = 0

    def add(weight: nn.Parameter, layer: Layer) -> None:
        members = [member for _, member in read[weight]]
        x = torch.cat(contributions(layer, members, images, generator), 1)
        grams[weight].addmm_(x.T, x)

    network = eval_copy(model)
    with torch.no_grad(), LayerTracer(read, add):
        for batch in batches:
            images = batch.images
            forward(network, batch.inputs)
    return grams


def _scales(gram: Tensor, kept: Tensor) -> Tensor:
    """``(channels,)``: the least-squares scales of kept channels nearest to 1; 1 for the others."""
    # With s = 1 + d the residual is the sum over the removed channels minus Σ_c d_c x_nc.
    scales = torch.ones_like(gram[0])
    scales[kept] += least_squares(gram[kept][:, kept], gram[kept][:, ~kept].sum(1))
    return scales
