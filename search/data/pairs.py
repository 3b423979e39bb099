"""What a batch of the user's data must be."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from prune_ops.batches import described
from search.data.splits import Batch
from search.fit import TAKES
from spaces.errors import DataError


def images_and_labels(batch: Any) -> Batch:
    """The batch, if it is a tensor of images and one of labels.

    Raises:
        DataError: it is something else, inputs by name say.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        images, labels = batch
        if isinstance(images, Tensor) and isinstance(labels, Tensor):
            return images, labels
    raise DataError(
        "data must come in batches (images, labels) of one tensor each, but a batch is "
        f"{described(batch)}; {TAKES}"
    )
