"""On how many images a network is repaired: on many if it is trained then, on few to judge it."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Protocol

from torch import nn

from prune_ops.surgery.reconstruct import bytes_per_image, short_of_images
from results.text import plural, some
from search.task.amounts import SCORING
from spaces import Space


class Task(Protocol):
    """What of a `search.Task` decides."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def example(self) -> Any: ...

    @property
    def train(self) -> Sized: ...


SHARE, MOST = 4, 4096
"""One training image in so many, but no more than these. ResNet-20 cut to 30 % reaches, after one
epoch over 12,800 images, 74.9 % repaired on 256 images, 76.1 % on 1,024 and 76.8 % on 4,096."""
BYTES = 2**31
"""What the activations and targets of all images may take together."""


def images_to_train_on(task: Task) -> int:
    """Images for the repair of networks that are trained then: at least those of a judgement."""
    fitting = BYTES // bytes_per_image(task.model, task.example)
    return max(SCORING, min(len(task.train) // SHARE, MOST, fitting))


def shortage(task: Task, space: Space) -> str:
    """One line if the images are too few for what `reconstruct` has to find out; else empty."""
    images = min(images_to_train_on(task), -(-len(task.train) // 2))
    short = short_of_images(task.model, space.groups, task.example, images)
    if not short:
        return ""
    layer, (equations, unknowns) = max(short.items(), key=lambda item: item[1][1] / item[1][0])
    return (
        f"repair has few images for {plural(len(short), 'layer')} ({some([*short], 3)}): {layer} "
        f"has {unknowns} unknowns and {plural(images, 'image')} give {equations} equations; "
        "weights there change less than they could, and more training images would let them"
    )
