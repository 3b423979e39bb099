"""Fresh weights, for new networks and for pruned ones that are trained from scratch."""

from __future__ import annotations

import math

import torch
from torch import nn

from spaces import copied

Convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def he_init(model: nn.Module) -> None:
    """Draw every convolution's weights from N(0, 2 / fan_out), in place; biases become 0.

    He et al. 2015 (arXiv 1502.01852), fan_out form: what the CIFAR ResNets, torchvision's
    ResNet, VGG and MobileNet start from. Unlike ``nn.init.kaiming_normal_``, fan_out here is
    divided by the groups, as the derivation asks, so that depthwise layers do not start at zero.
    """
    for module in model.modules():
        if isinstance(module, Convolution):
            fan_out = module.out_channels * math.prod(module.kernel_size) / module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def reinitialise(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy with fresh weights of the same shapes: where scratch training starts.

    Layers reset as torch resets them (BatchNorm's statistics with the rest), then convolutions
    get ``he_init``. A parameter that belongs to no such layer (a layer scale, a class token) is
    drawn from a normal with its own mean and spread: of what training found, these two numbers
    remain. ``model`` and the caller's random state stay as they are.
    """
    fresh = copied(model)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        for module in fresh.modules():
            _reset(module)
        he_init(fresh)
    return fresh


def _reset(module: nn.Module) -> None:
    # MultiheadAttention's is private; a container's own reset covers its direct parameters
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if callable(reset):
        reset()
        return
    with torch.no_grad():
        for parameter in module.parameters(recurse=False):
            spread = parameter.std(correction=0)
            parameter.copy_(torch.randn(parameter.shape).to(parameter) * spread + parameter.mean())
