"""InputMoments: the second moments of what a layer reads; what repair in closed form needs."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

RIDGE = 1e-4
"""Added to a matrix's diagonal, as a share of its mean, so that it can be inverted."""


@dataclass(eq=False)
class InputMoments:
    """Of what one convolution or linear layer reads, over calibration images and output positions.

    x_ip are the U inputs under the kernel at position p of image i, channel by channel, and x̄_i
    their mean over positions. Deviations from it and the means themselves are apart, because an
    error of the mean, which adds up over positions, costs the loss much more.

    Attributes:
        mean_at: name of the bias, or of the running mean of the BatchNorm that follows, which takes
            up a change of the outputs' mean; empty where there is none.
        within: ``(groups, U, U)`` float64: Σ (x_ip − x̄_i)(x_ip − x̄_i)ᵀ over sampled positions, for
            each group of a grouped convolution; None for layers that read too much.
        between: ``(groups, U + 1, U + 1)`` float64: Σ_i of (x̄_i, 1)(x̄_i, 1)ᵀ.
        positions: how many are in ``within``.
        contributions: group name → ``(channels, channels)`` float64, of layers that read too much:
            Σ_n z_n z_nᵀ, z_nc what channel c adds to the sampled output n.
        samples: how many outputs were sampled for those.
    """

    mean_at: str = ""
    within: Tensor | None = None
    between: Tensor | None = None
    positions: int = 0
    contributions: dict[str, Tensor] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)

    def add(self, seen: Tensor, means: Tensor) -> None:
        """Add what kernels saw, ``(groups, images, positions, U)``, and ``(groups, images, U)``."""
        deviations = (seen - means[:, :, None]).flatten(1, 2)
        within = torch.bmm(deviations.transpose(1, 2), deviations).double()
        ones = torch.cat([means, means.new_ones(*means.shape[:2], 1)], 2).double()
        between = torch.bmm(ones.transpose(1, 2), ones)
        self.positions += deviations.shape[1]
        self.within = within if self.within is None else self.within + within
        self.between = between if self.between is None else self.between + between

    def add_contributions(self, group: str, parts: Tensor) -> None:
        """Add contributions of a group's channels to sampled outputs: ``(n, channels)``."""
        products = parts.T @ parts
        known = self.contributions.get(group)
        self.contributions[group] = products if known is None else known + products
        self.samples[group] = self.samples.get(group, 0) + len(parts)

    def mean(self, group: int) -> Tensor:
        """``(U,)``: E[x] under one group's kernel."""
        assert self.between is not None
        return self.between[group, -1, :-1] / self.between[group, -1, -1]

    def metric(self, group: int, worth: Tensor) -> tuple[Tensor, Tensor]:
        """C ``(U, U)`` and F ``(O,)``: an error e_o of weights costs about ½ Σ_o F_o e_oᵀ C e_o.

        C is the mean of both kinds of moments, weighed by how much the loss minds each of them in
        this layer. It is positive definite.

        Args:
            worth: ``(2, O)``, of the group's outputs, as in ``CalibrationStats.output_fisher``.
        """
        assert self.within is not None
        assert self.between is not None
        inner = self.between[group] / self.between[group, -1, -1]
        means = inner[:-1, :-1]
        if self.mean_at:
            means = means - torch.outer(inner[-1, :-1], inner[-1, :-1])
        parts = torch.stack([self.within[group] / self.positions, means])
        weight = worth.sum(1) + torch.finfo(worth.dtype).tiny
        share = weight / weight.sum()
        sizes = parts.diagonal(dim1=1, dim2=2).sum(1)
        size = (share * sizes).sum()
        each = (worth * sizes[:, None]).sum(0) / size if size > 0 else worth.sum(0)
        return raised((parts * share[:, None, None]).sum(0)), each

    def shared(self, group: str) -> Tensor:
        """``(channels, channels)``: E[z zᵀ] of a group's contributions, positive definite."""
        return raised(self.contributions[group] / self.samples[group])


def raised(moments: Tensor) -> Tensor:
    """The moments with a raised diagonal: positive definite whatever the images were."""
    diagonal = moments.diagonal()
    ridge = RIDGE * diagonal.mean() + torch.finfo(moments.dtype).tiny ** 0.5
    return moments + torch.diag(torch.zeros_like(diagonal) + ridge)
