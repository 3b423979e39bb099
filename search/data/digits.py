"""scikit-learn's digits: 1797 real 8x8 images that come with the package."""

from __future__ import annotations

import torch

from search.data.source import Images, Request, Splits, own_size_only
from search.data.splits import Augment
from spaces.errors import DataError

TEST_IMAGES = 700
VALIDATION = 0.45
"""Of 1097 images: policies are chosen by it, and half a point of accuracy tells them apart."""
NAMES = tuple("0123456789")
MEAN, STD = (0.3053,), (0.3760,)
"""Of the 1797 images, pixels from 0 to 1."""


def load(request: Request) -> Splits:
    """Digits of 8x8 pixels from scikit-learn; nothing is downloaded.

    700 test images by a cut that no seed changes, alike in every class; 494 for validation.
    """
    if request.argument:
        raise DataError(f"data 'digits' takes no argument, but got {request.argument!r}")
    own_size_only("digits", 8, request)
    from sklearn.datasets import load_digits  # slow to import; other data does without
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        torch.tensor(pixels).mul(255 / 16).round().to(torch.uint8).view(-1, 1, 8, 8),
        torch.tensor(labels),
        test_size=TEST_IMAGES,
        stratify=labels,
        random_state=0,
    )
    parts = (train, train_labels), (test, test_labels)
    return Images(*parts, NAMES, Augment(padding=1), MEAN, STD).splits(request, VALIDATION)
