"""Task: what is pruned. A trained model, the splits of its data, and their device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from search.data.splits import Batch, Split
from spaces import copied

SCORING = 256
"""Images from which criteria score channels."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What is pruned; `search.build_task` makes one of names.

    It can be pickled; ``torch.multiprocessing`` shares the memory of images and weights instead of
    copying it: ``model`` must not be changed in place.

    Args:
        model: the trained network, in eval mode, on ``device``.
        fresh: builds the same architecture with new weights from torch's global generator.
        example: the model's inputs for one image: a real one, (1, C, H, W).
        test: read only by networks that are trained to the end.
        seed: divides the training images into those of ``calibration`` and of ``held_out``.
        class_names: by number; empty where they are not known.
        base_epochs: epochs that ``model`` was trained for; None if unknown.
    """

    name: str
    model: nn.Module
    fresh: Callable[[], nn.Module]
    example: tuple[Tensor, ...]
    train: Split
    validation: Split
    test: Split
    classes: int
    device: torch.device
    seed: int = 0
    base_epochs: float | None = None
    class_names: tuple[str, ...] = ()

    def calibration(
        self, images: int = SCORING, seed: int = 0, batch_size: int = 64
    ) -> list[Batch]:
        """Training images without augmentation, for scoring channels.

        Drawn by ``seed`` from one half of the training images; fewer if that half has fewer.
        """
        return self._sample(0, images, seed, batch_size)

    def held_out(self, images: int = 1024, seed: int = 0, batch_size: int = 256) -> list[Batch]:
        """Training images for proxies that measure accuracy: from the other half.

        None of them is ever in ``calibration``, whatever the numbers and seeds.
        """
        return self._sample(1, images, seed, batch_size)

    def to(self, device: torch.device) -> Task:
        """The same task on another device: itself if it is there already, else a copy."""
        if device == self.device:
            return self
        return replace(
            self,
            model=copied(self.model).to(device),
            example=tuple(tensor.to(device) for tensor in self.example),
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
            device=device,
        )

    def _sample(self, half: int, images: int, seed: int, batch_size: int) -> list[Batch]:
        pool = self.train.indexable()
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(self.seed))
        indices = order.chunk(2)[half]
        draw = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))
        return list(pool.subset(indices[draw[:images]]).batches(batch_size))


def calibration_sizes(train_images: int, images: int, batch_size: int) -> list[int]:
    """The batch sizes of ``Task.calibration`` with this number of training images.

    >>> calibration_sizes(300, images=256, batch_size=64)
    [64, 64, 22]
    """
    number = min(images, -(-train_images // 2))
    return [min(batch_size, number - start) for start in range(0, number, batch_size)]
