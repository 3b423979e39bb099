"""VGG with BatchNorm for 32x32 images: the convolutions of Simonyan & Zisserman 2014, one linear.

The names end in ``_cifar`` because torchvision has a ``vgg16_bn`` of its own, with three linear
layers for 224x224 images. As in the pruning papers (``vgg16_cifar`` is 313 M FLOPs), the
convolutions have no bias and a single linear layer follows the last pooling.
"""

from __future__ import annotations

from torch import Tensor, nn

from search.models.init import he_init

USUAL = ((3, 32, 32), 10)
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Depth → convolutions in each stage; a pooling of 2 ends a stage."""
WIDTHS = (64, 128, 256, 512, 512)


def names() -> tuple[str, ...]:
    """``vgg11_cifar``, ``vgg13_cifar``, ``vgg16_cifar``, ``vgg19_cifar``."""
    return tuple(f"vgg{depth}_cifar" for depth in STAGES)


def build(name: str, classes: int, in_channels: int) -> nn.Module:
    """The ``CifarVGG`` that ``name`` says, with fresh weights."""
    return CifarVGG(int(name.removeprefix("vgg").removesuffix("_cifar")), classes, in_channels)


class CifarVGG(nn.Module):
    """``CifarVGG(16, classes=10)(images)``, images (B, 3, 32, 32), gives logits (B, classes)."""

    def __init__(self, depth: int, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = in_channels
        for width, convolutions in zip(WIDTHS, STAGES[depth], strict=True):
            for _ in range(convolutions):
                convolution = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                inputs = width
            layers.append(nn.MaxPool2d(2, ceil_mode=True))  # 28x28 images end at 1x1 too
        self.features = nn.Sequential(*layers)
        self.linear = nn.Linear(inputs, classes)
        he_init(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) → logits (B, classes)."""
        return self.linear(self.features(x).mean(dim=(2, 3)))
