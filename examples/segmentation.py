"""A U-Net that finds discs in noise, judged by the mean IoU of disc and background.

    python search.py --task examples.segmentation:task --budget 0.3

The metric is no mean over images, so it is an object that gathers batches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from search import Metric, Task

SIDE = 32


class UNet(nn.Module):
    """Two steps down and up, with connections between their equals (Ronneberger et al. 2015)."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.down1, self.down2 = block(1, width), block(width, 2 * width)
        self.bottom = block(2 * width, 4 * width)
        self.up2, self.up1 = block(6 * width, 2 * width), block(3 * width, width)
        self.classes = nn.Conv2d(width, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.down1(image)
        coarse = self.down2(F.max_pool2d(fine, 2))
        deep = self.bottom(F.max_pool2d(coarse, 2))
        coarse = self.up2(torch.cat([larger(deep), coarse], 1))
        return self.classes(self.up1(torch.cat([larger(coarse), fine], 1)))


def block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        convolution = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def larger(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="nearest")


def discs(images: int, seed: int) -> TensorDataset:
    """Images (N, 1, 32, 32) of one disc each, and whether a pixel is in it (N, 32, 32)."""
    draw = torch.Generator().manual_seed(seed)
    centre = torch.rand(images, 2, 1, 1, generator=draw) * SIDE
    radius = 4 + 6 * torch.rand(images, 1, 1, generator=draw)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    inside = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 < radius**2
    noise = torch.randn(images, SIDE, SIDE, generator=draw)
    return TensorDataset((inside + 1.5 * noise)[:, None], inside.long())


def loss(outputs: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(outputs, batch[1])


class MeanIoU:
    """Intersection over union of each class, over all pixels of all images; their mean."""

    def reset(self) -> None:
        self.both = self.either = torch.zeros(2)

    def update(self, outputs: Tensor, batch: tuple[Tensor, Tensor]) -> None:
        found, true = (F.one_hot(x, 2).bool() for x in (outputs.argmax(1), batch[1]))
        self.both = self.both + (found & true).sum((0, 1, 2)).cpu()
        self.either = self.either + (found | true).sum((0, 1, 2)).cpu()

    def compute(self) -> float:
        return float((self.both / self.either).mean())


def task() -> Task:
    """The task, with a network that is trained here in seconds."""
    torch.manual_seed(0)
    train = DataLoader(discs(512, seed=0), batch_size=32, shuffle=True)
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(4):
        for batch in train:
            optimizer.zero_grad()
            loss(model(batch[0]), batch).backward()
            optimizer.step()
    return Task(
        model=model.eval(),
        train=train,
        validation=DataLoader(discs(128, seed=1), batch_size=64),
        test=DataLoader(discs(256, seed=2), batch_size=64),
        loss=loss,
        metric=Metric("mean IoU", MeanIoU(), higher_is_better=True, unit="%"),
    )
