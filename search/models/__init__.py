"""Models by name: one file a family, one word in ``FAMILIES`` each.

| name | network |
|---|---|
| ``digits_cnn`` ``digits_small`` | small residual CNNs for 8x8 images |
| ``resnet20 32 44 56 110`` | the CIFAR ResNets of He et al. 2015, option-A shortcuts |
| ``resnet20b`` ... ``resnet110b`` | the same with option-B shortcuts (1x1 convolution) |
| ``vgg11_cifar`` ... ``vgg19_cifar`` | VGG with BatchNorm for 32x32 images, one linear layer |
| ``mobilenet_v2_cifar`` | MobileNetV2 with the strides that are usual for 32x32 images |
| ``resnet50``, ``mobilenet_v2`` ... | any torchvision classifier under torchvision's name |
| ``package.module:function`` | ``function()`` or ``function(num_classes=...)`` of your own |
"""

from __future__ import annotations

from typing import Protocol

from torch import nn

from search.models import (
    cifar_mobilenet,
    cifar_resnet,
    cifar_vgg,
    custom,
    digits_cnn,
    from_torchvision,
)
from search.models.init import reinitialise
from search.models.weights import check_weights, given_weights, load_weights
from spaces.errors import unknown

__all__ = [
    "FAMILIES",
    "build",
    "check",
    "check_weights",
    "given_weights",
    "load_weights",
    "names",
    "reinitialise",
    "usual",
]


class Family(Protocol):
    """What a module of this folder offers.

    Attributes:
        USUAL: shape of one image, and the number of classes, that the family was made for.
    """

    USUAL: tuple[tuple[int, int, int], int]

    def names(self) -> tuple[str, ...]:
        """The names it knows."""

    def build(self, name: str, classes: int, in_channels: int) -> nn.Module:
        """The network of that name with fresh weights."""


FAMILIES: tuple[Family, ...] = (
    digits_cnn,
    cifar_resnet,
    cifar_vgg,
    cifar_mobilenet,
    from_torchvision,
)


def build(name: str, classes: int, in_channels: int = 3) -> nn.Module:
    """A model with fresh weights, drawn from torch's global generator: seed it to repeat them.

    >>> build("resnet20", classes=10).linear.out_features
    10

    Args:
        name: a name of the table above, or ``package.module:function``.
        classes: how many outputs; a function of the user's is told it as ``num_classes``, unless
            it is 0.
        in_channels: 3 for colour, 1 for grey; a function of the user's chooses for itself.

    Raises:
        UserError: no such name (the nearest is named), or the user's function fails.
    """
    check(name)
    if ":" in name:
        return custom.build(name, classes)
    family = next(family for family in FAMILIES if name in family.names())
    return family.build(name, classes, in_channels)


def check(name: str) -> None:
    """Refuse a name that ``build`` does not know, before anything else is loaded.

    Raises:
        UserError: no such name; the nearest is named.
    """
    if ":" not in name and not any(name in family.names() for family in FAMILIES):
        raise unknown("model", name, names())


def usual(name: str) -> tuple[tuple[int, int, int], int]:
    """The image shape (C, H, W) and the classes that a model was made for; ImageNet's if unknown.

    >>> usual("resnet20")
    ((3, 32, 32), 10)
    """
    families = (family for family in FAMILIES if name in family.names())
    return next(families, from_torchvision).USUAL


def names() -> list[str]:
    """Every name that ``build`` knows, families in order."""
    return [name for family in FAMILIES for name in family.names()]
