"""CalibrationStats: what a criterion scores from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class CalibrationStats:
    """The model, and the statistics that the calibration passes collected.

    Attributes:
        model: the unpruned network, read-only.
        seed: for criteria that draw.
        attributions: group name → ``(minibatches, channels)``: Σ g·w over the weights that make the
            channel (``channels.PRODUCERS``), g the gradient of the minibatch's loss: the signed
            first-order change of the loss when the channel is removed.
        fisher: parameter name → the parameter's shape: the mean over samples of the squared
            gradient of that sample's own loss (the diagonal of the empirical Fisher matrix).
        contributions: group name → ``(channels, channels)`` float64: Σ_n x_n x_nᵀ, x_{n,c} what
            channel c adds to the sampled output n of a layer that reads it, bias left out. The
            samples are over all convolutions and linear layers that read the group.
        zeros: group name → ``(uses, channels)`` float64: the share of zeros, over images and
            positions, in the output of every rectifier (ReLU, ReLU6) that the group passes.
        ranks: group name → ``(uses, channels)`` float64: the feature map's rank, mean over images,
            at every activation function that the group passes.
        saliencies: group name → ``(uses, channels)`` float64: the mean over images of
            |mean over positions of z·∂L/∂z|, z the output of every activation function that the
            group passes and L the image's own loss.
        curvature: parameter name → the parameter's shape: an unbiased estimate of h_ii w_i² by
            random probes, h_ii the diagonal of the Hessian of the mean loss. Where there is little
            curvature it may be negative.

    All but the first two are empty unless a criterion's ``requires`` names them.
    """

    model: nn.Module
    seed: int = 0
    attributions: Mapping[str, Tensor] = field(default_factory=dict)
    fisher: Mapping[str, Tensor] = field(default_factory=dict)
    contributions: Mapping[str, Tensor] = field(default_factory=dict)
    zeros: Mapping[str, Tensor] = field(default_factory=dict)
    ranks: Mapping[str, Tensor] = field(default_factory=dict)
    saliencies: Mapping[str, Tensor] = field(default_factory=dict)
    curvature: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """As `detached` gives them."""
        return detached(self.model)


def detached(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter under every name it has, without gradient; one object per parameter."""
    unique = {id(p): p.detach() for p in model.parameters()}
    named = model.named_parameters(remove_duplicate=False)
    return {name: unique[id(parameter)] for name, parameter in named}
