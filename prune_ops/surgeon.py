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
    left = list(range(group.channels))
    removed: list[int] = []
    rises: list[float] = []
    while left:
        costs = torch.stack([reader.costs() for reader in readers]).sum(0)
        place = int(costs.argmin()) if order is None else left.index(order[len(removed)])
        rises.append(float(costs[place]))
        for reader in readers:
            reader.remove(place)
        removed.append(left.pop(place))
    return Removal(tuple(removed), np.array(rises))


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
        """``(n,)``: what it costs if that channel goes next, on the CPU."""
        own = self.inverse.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        solved = torch.linalg.solve(own, self.weight)
        return ((self.weight * solved).sum(1) @ self.importance).cpu()

    def remove(self, place: int) -> None:
        """The channel goes, and the weights of the others make up for it."""
        stay = torch.arange(len(self.weight), device=self.weight.device) != place
        own, towards = self.inverse[place, :, place], self.inverse[stay][:, :, place]
        n, b, outputs = len(towards), len(own), self.weight.shape[2]
        towards = towards.reshape(n * b, b)
        share = torch.linalg.solve(own, towards.T)
        rest = self.inverse[stay][:, :, stay].reshape(n * b, n * b)
        self.inverse = (rest - towards @ share).reshape(n, b, n, b)
        self.weight = self.weight[stay] - (share.T @ self.weight[place]).reshape(n, b, outputs)


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
