"""Images of any size, as ImageNet training and evaluation see them."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from search.data.files import Listing, read_rgb


class Photos(Dataset[tuple[Tensor, int]]):
    """``Photos(listing, 224, augment=True)[0]``: an image (3, 224, 224) uint8 and its label.

    Training sees a random resized crop (8 to 100 % of the area), mirrored with probability ½;
    evaluation the centre of the image whose shorter side is 256/224 of ``size``.
    """

    def __init__(self, listing: Listing, size: int, *, augment: bool) -> None:
        self.listing = listing
        self.transform = _training(size) if augment else _evaluation(size)

    def __len__(self) -> int:
        return len(self.listing.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.transform(read_rgb(self.listing.paths[index]))
        return image, self.listing.labels[index]


def _training(size: int) -> Any:
    from torchvision import transforms as t  # slow to import; small images do without

    return t.Compose([t.RandomResizedCrop(size), t.RandomHorizontalFlip(), t.PILToTensor()])


def _evaluation(size: int) -> Any:
    from torchvision import transforms as t

    return t.Compose([t.Resize(round(size * 256 / 224)), t.CenterCrop(size), t.PILToTensor()])
