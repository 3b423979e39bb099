"""The optimal brain surgeon on channels: what removing them costs once the rest makes up for it.

A layer that reads a group loses inputs. Its other weights can be changed so that its outputs change
least; what no weights can give back is weighed by how far it moves the network's outputs. That is a
quadratic function of the weights, so the least cost, and the weights that reach it, are known in
closed form, for one channel and, updating the inverse, for one after another.

Hassibi and Stork, Second Order Derivatives for Network Pruning: Optimal Brain Surgeon, NeurIPS
1992; for structures, with the inputs' second moments for the Hessian of each layer: Kurtić et al.,
ZipLM: Inference-Aware Structured Pruning of Language Models, NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prune_ops.channels import channel_sums, weights
from prune_ops.compensation import as_matrices, kernel_size
from prune_ops.criterion import CalibrationStats
from prune_ops.least_squares import finite
from prune_ops.moments import InputMoments
from spaces.groups import ChannelGroup, Member


@dataclass(frozen=True, slots=True)
class Removal:
    """Channels of one group, removed one after another.

    Attributes:
        order: all channels.
        rises: ``(channels,)`` float64: what each removal costs, as `prune_ops.probing` has it.
    """

    order: tuple[int, ...]
    rises: np.ndarray

    def damages(self, widths: Sequence[int]) -> np.ndarray:
        """``(widths,)``: what it costs when so many channels stay."""
        total = np.concatenate([[0.0], np.cumsum(self.rises)])
        return total[len(self.order) - np.asarray(widths)]

    @property
    def scores(self) -> Tensor:
        """``(channels,)`` float32: what each removal costs, but more than any before it.

        So the channels of the highest scores are those removed last, whatever the width.
        """
        scores, least = np.empty(len(self.order), np.float32), np.float32(-np.inf)
        for channel, rise in zip(self.order, self.rises.astype(np.float32), strict=True):
            least = max(rise, np.nextafter(least, np.float32(np.inf)))
            scores[channel] = least
        return torch.from_numpy(scores)


REQUIRES = frozenset({"inputs", "output_fisher", "probed_fisher"})
"""The fields of `CalibrationStats` that `removal` reads."""


def removal(
    group: ChannelGroup, stats: CalibrationStats, order: Sequence[int] | None = None
) -> Removal:
    """The group's channels in the order in which their removal costs least.

    In a group that no convolution and no linear layer reads, the queries of attention say, nothing
    makes up for a channel: it costs ½ Σ_i h_ii w_i² over all of its weights, in the same unit.

    Args:
        stats: with what is in `REQUIRES`.
        order: all channels in the order in which they are to be removed instead.
    """
    readers = list(_readers(group, stats))
    if not readers:
        alone = _alone(group, stats)
        chosen = np.argsort(alone, kind="stable") if order is None else np.asarray(order)
        return Removal(tuple(chosen.tolist()), alone[chosen])
    removed, rises = _removed(readers, group.channels, order)
    return Removal(tuple(removed.tolist()), rises.double().numpy(force=True))


def _removed(
    readers: Sequence[_Reader], channels: int, order: Sequence[int] | None
) -> tuple[Tensor, Tensor]:
    """``(channels,)`` each: the channels as they go, and the costs; nothing waits for a device."""
    device = readers[0].weight.device
    left = torch.arange(channels, device=device)
    given = None if order is None else torch.tensor(order, device=device)
    removed, rises = [], []
    for gone in range(channels):
        costs = torch.stack([reader.costs() for reader in readers]).sum(0)
        place = costs.argmin() if given is None else (left == given[gone]).int().argmax()
        rises.append(costs.gather(0, place[None]))
        removed.append(left.gather(0, place[None]))
        rest = torch.arange(channels - gone - 1, device=device)
        stay = rest + (rest >= place)
        for reader in readers:
            reader.remove(place, stay)
        left = left[stay]
    return torch.cat(removed), torch.cat(rises)


class _Reader:
    """What one layer reads of a group, one block of rows a channel.

    Attributes:
        inverse: ``(n, b, n, b)``: the block of the inverse second moments of all that it reads.
        weight: ``(n, b, O)``: as they are best now that earlier channels are gone.
        importance: ``(O,)``: what a unit of an output's squared error costs.
    """

    def __init__(self, inverse: Tensor, weight: Tensor, importance: Tensor) -> None:
        self.inverse, self.weight, self.importance = inverse, weight, importance

    def costs(self) -> Tensor:
        """``(n,)``: what it costs if that channel goes next."""
        own = self.inverse.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        solved = torch.linalg.solve_ex(own, self.weight).result
        return (self.weight * solved).sum(1) @ self.importance

    def remove(self, place: Tensor, stay: Tensor) -> None:
        """The channel at ``place`` ``()`` goes, and the weights of those at ``stay`` ``(n - 1,)``
        make up for it."""
        at = place[None]
        inverse, kept = self.inverse[stay], self.weight[stay]
        own = self.inverse[at][0].index_select(1, at)[:, 0]
        n, b, outputs = len(stay), len(own), self.weight.shape[2]
        towards = inverse.index_select(2, at).reshape(n * b, b)
        share = torch.linalg.solve_ex(own, towards.T).result
        rest = inverse[:, :, stay].reshape(n * b, n * b)
        self.inverse = (rest - towards @ share).reshape(n, b, n, b)
        self.weight = kept - (share.T @ self.weight[at][0]).reshape(n, b, outputs)


def _alone(group: ChannelGroup, stats: CalibrationStats) -> np.ndarray:
    """``(channels,)``: what each channel costs where nothing makes up for it."""
    parameters = stats.parameters
    squares = {name: h * parameters[name].square() / 2 for name, h in stats.probed_fisher.items()}
    sums = channel_sums(group, weights(group, parameters), squares)
    return sums.double().numpy(force=True)


def _readers(group: ChannelGroup, stats: CalibrationStats) -> Iterator[_Reader]:
    parameters = stats.parameters
    for member in weights(group, parameters, {"in"}):
        moments = stats.inputs.get(member.parameter)
        worth = stats.output_fisher.get(member.parameter)
        if moments is None or worth is None:
            continue  # no layer uses it in eval mode
        if group.name in moments.contributions:
            yield _by_contributions(moments.shared(group.name), worth)
        else:
            yield from _by_inputs(parameters[member.parameter], member, moments, worth)


def _by_contributions(shared: Tensor, worth: Tensor) -> _Reader:
    """One unknown a channel: the factor of all of its weights there."""
    n = len(shared)
    inverse = torch.linalg.inv(shared).reshape(n, 1, n, 1)
    return _Reader(inverse, shared.new_ones(n, 1, 1), worth.sum()[None] / 2)


def _by_inputs(
    weight: Tensor, member: Member, moments: InputMoments, worth: Tensor
) -> Iterator[_Reader]:
    """One reader for each group of a grouped convolution: they share no input."""
    assert moments.within is not None
    matrices = as_matrices(weight, member.dim, len(moments.within))
    index, kernel = torch.as_tensor(member.index, device=weight.device), kernel_size(weight)
    rows = index[:, :, None] * kernel + torch.arange(kernel, device=weight.device)
    rows = rows.flatten(1)
    n, b = rows.shape
    for place, (own, part) in enumerate(zip(matrices, worth.chunk(len(matrices), 1), strict=True)):
        metric, each = moments.metric(place, part)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(finite(metric)))
        block = inverse[rows.flatten()][:, rows.flatten()].reshape(n, b, n, b)
        yield _Reader(block, own[rows], each / 2)
