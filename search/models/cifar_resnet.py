"""The CIFAR ResNets of He et al. 2015 (arXiv 1512.03385, section 4.2): 6n + 2 layers.

Option A, the one of the paper, widens the trunk by padding zeros (``resnet20``); option B by a
1x1 convolution (``resnet20b``), which more pruning tools understand.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search.models.init import he_init

USUAL = ((3, 32, 32), 10)
DEPTHS = (20, 32, 44, 56, 110)


def names() -> tuple[str, ...]:
    """``resnet20`` ... ``resnet110`` and ``resnet20b`` ... ``resnet110b``."""
    return tuple(f"resnet{depth}{option}" for option in ("", "b") for depth in DEPTHS)


def build(name: str, classes: int, in_channels: int) -> nn.Module:
    """The ``CifarResNet`` that ``name`` says, with fresh weights."""
    depth = int(name.removeprefix("resnet").removesuffix("b"))
    option = "B" if name.endswith("b") else "A"
    return CifarResNet(depth, classes, in_channels, option=option)


class PadShortcut(nn.Module):
    """Option A: every second pixel, and zeros for the channels that the trunk gains."""

    def __init__(self, added: int) -> None:
        super().__init__()
        self.added = added

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C + added, H / 2, W / 2), half of the zeros on either side."""
        front = self.added // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, front, self.added - front))


def _shortcut(inputs: int, outputs: int, stride: int, option: str) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Sequential()
    if option == "A":
        return PadShortcut(outputs - inputs)
    projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, with ``inner`` channels between them, and a shortcut."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, option: str, inner: int | None = None
    ) -> None:
        super().__init__()
        inner = inner or outputs
        self.conv1 = nn.Conv2d(inputs, inner, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride, option)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """``CifarResNet(56, classes=10)(images)``, images (B, 3, 32, 32), gives logits (B, classes).

    Args:
        depth: 6n + 2 for n blocks a stage: 20, 32, 44, 56, 110.
        option: "A" pads the shortcut with zeros, "B" projects it.
    """

    def __init__(
        self, depth: int, classes: int = 10, in_channels: int = 3, option: str = "A"
    ) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, 1, blocks, option)
        self.layer2 = _stage(16, 32, 2, blocks, option)
        self.layer3 = _stage(32, 64, 2, blocks, option)
        self.linear = nn.Linear(64, classes)
        he_init(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) → logits (B, classes)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def _stage(inputs: int, outputs: int, stride: int, blocks: int, option: str) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride, option)
    rest = (BasicBlock(outputs, outputs, 1, option) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
