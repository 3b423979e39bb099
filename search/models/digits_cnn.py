"""A small residual CNN for scikit-learn's digits: 8x8, one channel, 1.5 M FLOPs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search.models.init import he_init

USUAL = ((1, 8, 8), 10)
STEM = 16
BLOCKS = ((16, 24, 1), (32, 48, 2), (64, 48, 1))
"""(trunk width, inner width, stride) of each block: six widths to search, from 16 to 64."""


def names() -> tuple[str, ...]:
    """The one name of this family."""
    return ("digits_cnn",)


def build(name: str, classes: int, in_channels: int) -> nn.Module:  # noqa: ARG001 (one name)
    """``DigitsCNN`` with fresh weights."""
    return DigitsCNN(classes, in_channels)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, 1x1 where the trunk widens."""

    def __init__(self, inputs: int, trunk: int, inner: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, trunk, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(trunk)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != trunk:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, trunk, 1, stride, bias=False), nn.BatchNorm2d(trunk)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, trunk, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class DigitsCNN(nn.Module):
    """``DigitsCNN(classes=10)(images)`` with images (B, 1, 8, 8) gives logits (B, classes)."""

    def __init__(self, classes: int, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, STEM, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        inputs = (STEM, *(trunk for trunk, _, _ in BLOCKS))
        self.blocks = nn.Sequential(
            *(Block(width, *block) for width, block in zip(inputs, BLOCKS, strict=False))
        )
        self.linear = nn.Linear(BLOCKS[-1][0], classes)
        he_init(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) → logits (B, classes)."""
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.linear(x.mean(dim=(2, 3)))
