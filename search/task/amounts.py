"""How many of the training images are looked at before anything is trained."""

from __future__ import annotations

SCORING = 256
"""Images from which criteria score channels."""


def calibration_sizes(train_images: int, images: int, batch_size: int) -> list[int]:
    """The batch sizes of ``Task.calibration`` with this number of training images.

    >>> calibration_sizes(300, images=256, batch_size=64)
    [64, 64, 22]
    """
    number = min(images, -(-train_images // 2))
    return [min(batch_size, number - start) for start in range(0, number, batch_size)]
