"""MobileNetV2 for 32x32 images: Sandler et al. 2018 (arXiv 1801.04381) with fewer strides.

Strides and widths are those of github.com/kuangliu/pytorch-cifar, which most work on CIFAR takes:
the stem and the second stage keep the size, so that the last maps are 4x4. Blocks are the paper's,
as in torchvision: ReLU6, and a shortcut only where a block keeps its shape. (kuangliu's has ReLU,
a 1x1 convolution in the shortcuts that widen, and one more before the first depthwise layer.)
"""

from __future__ import annotations

from torch import Tensor, nn

from search.models.init import he_init

USUAL = ((3, 32, 32), 10)
NAME = "mobilenet_v2_cifar"
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, outputs, blocks and first stride of each stage."""
STEM, LAST = 32, 1280


def names() -> tuple[str, ...]:
    """``mobilenet_v2_cifar``; torchvision has a ``mobilenet_v2`` for 224x224 images."""
    return (NAME,)


def build(name: str, classes: int, in_channels: int, width: float = 1.0) -> nn.Module:  # noqa: ARG001
    """The ``CifarMobileNetV2`` of that width with fresh weights."""
    return CifarMobileNetV2(classes, in_channels, width)


class InvertedResidual(nn.Module):
    """1x1 expansion (unless by 1), 3x3 depthwise, 1x1 projection; a shortcut if shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *(_convolution(inputs, inner, 1) if expansion > 1 else ()),
            *_convolution(inner, inner, 3, stride, groups=inner),
            *_convolution(inner, outputs, 1)[:-1],  # a linear bottleneck
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H / stride, W / stride)."""
        y = self.layers(x)
        return x + y if self.shortcut else y


class CifarMobileNetV2(nn.Module):
    """``CifarMobileNetV2(10)(images)``, images (B, 3, 32, 32), gives logits (B, classes).

    Args:
        width: multiplies the channels, rounded to multiples of 8; the last convolution's only if
            above 1, as in the paper.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        inputs, last = _rounded(STEM * width), _rounded(LAST * max(1.0, width))
        layers = [*_convolution(in_channels, inputs, 3)]
        for expansion, channels, blocks, first in STAGES:
            outputs = _rounded(channels * width)
            for stride in (first, *[1] * (blocks - 1)):
                layers.append(InvertedResidual(inputs, outputs, stride, expansion))
                inputs = outputs
        self.features = nn.Sequential(*layers, *_convolution(inputs, last, 1))
        self.linear = nn.Linear(last, classes)
        he_init(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) → logits (B, classes)."""
        return self.linear(self.features(x).mean(dim=(2, 3)))


def _convolution(
    inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(
        inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False
    )
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True)


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, but the next if that is more than 10 % less."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
