"""A small residual CNN for scikit-learn's digits: 8x8, one channel, 1.5 M FLOPs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search.models.cifar_resnet import BasicBlock
from search.models.init import he_init

USUAL = ((1, 8, 8), 10)
STEM = 16
BLOCKS = ((16, 24, 1), (32, 48, 2), (64, 48, 1))
"""(trunk width, inner width, stride) of each block: six widths to search, from 16 to 64."""


def names() -> tuple[str, ...]:
    return ("digits_cnn",)


def build(name: str, classes: int, in_channels: int) -> nn.Module:  # noqa: ARG001 (one name)
    return DigitsCNN(classes, in_channels)


class DigitsCNN(nn.Module):
    """``DigitsCNN(classes=10)(images)`` with images (B, 1, 8, 8) gives logits (B, classes)."""

    def __init__(self, classes: int, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, STEM, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        inputs = (STEM, *(trunk for trunk, _, _ in BLOCKS))
        self.blocks = nn.Sequential(
            *(
                BasicBlock(width, trunk, stride, "B", inner)
                for width, (trunk, inner, stride) in zip(inputs, BLOCKS, strict=False)
            )
        )
        self.linear = nn.Linear(BLOCKS[-1][0], classes)
        he_init(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) → logits (B, classes)."""
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.linear(x.mean(dim=(2, 3)))
