"""Small residual CNNs for scikit-learn's digits, 8x8 with one channel: of 1.5 and 0.13 M FLOPs.

``digits_cnn`` knows all digits after a cut to half. ``digits_small`` has nothing to spare in its
trunk: like MobileNetV2 (Sandler et al. 2018) it is six times as wide inside its blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from search.models.cifar_resnet import BasicBlock
from search.models.init import he_init

USUAL = ((1, 8, 8), 10)
Blocks = Sequence[tuple[int, int, int]]
"""(trunk width, inner width, stride) of each block."""
SIZES: dict[str, tuple[int, Blocks]] = {
    "digits_cnn": (16, ((16, 24, 1), (32, 48, 2), (64, 48, 1))),
    "digits_small": (2, ((2, 12, 1), (4, 24, 2), (8, 48, 1))),
}
"""Name → width of the stem, and the blocks: six widths to search."""


def names() -> tuple[str, ...]:
    return tuple(SIZES)


def build(name: str, classes: int, in_channels: int) -> nn.Module:
    return DigitsCNN(classes, in_channels, *SIZES[name])


class DigitsCNN(nn.Module):
    """``DigitsCNN(10, 1, *SIZES[name])(images)``: images (B, 1, 8, 8) → logits (B, classes)."""

    def __init__(self, classes: int, in_channels: int, stem: int, blocks: Blocks) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        inputs = (stem, *(trunk for trunk, _, _ in blocks))
        self.blocks = nn.Sequential(
            *(
                BasicBlock(width, trunk, stride, "B", inner)
                for width, (trunk, inner, stride) in zip(inputs, blocks, strict=False)
            )
        )
        self.linear = nn.Linear(blocks[-1][0], classes)
        he_init(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) → logits (B, classes)."""
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.linear(x.mean(dim=(2, 3)))
