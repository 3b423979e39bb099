"""A regressor of two inputs by name, an image and a few numbers, judged by its mean absolute error.

    python search.py --task examples.regression:task --budget 0.4

Batches are dicts, as many loaders give them; the network takes those entries that its forward
names, and lower is better.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from search import Metric, Task

Batch = dict[str, Tensor]


class Weigher(nn.Module):
    """Guesses a weight in kg from a picture and four measurements."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )
        self.scale = nn.Sequential(nn.Linear(4, 32), nn.ReLU())
        self.guess = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, picture: Tensor, measured: Tensor) -> Tensor:
        both = torch.cat([self.eye(picture), self.scale(measured)], 1)
        return self.guess(both).squeeze(1)


def loader(items: int, seed: int, shuffle: bool = False) -> DataLoader[Batch]:
    """Items whose weight is the brightness of the picture times the first measurement, and more."""
    draw = torch.Generator().manual_seed(seed)
    bright = torch.rand(items, 1, 1, 1, generator=draw)
    pictures = bright + 0.3 * torch.randn(items, 1, 16, 16, generator=draw)
    measured = torch.rand(items, 4, generator=draw)
    weights = 10 * bright.flatten() * measured[:, 0] + 5 * (measured[:, 1] - measured[:, 2]).abs()
    rows = [
        {"picture": picture, "measured": numbers, "weight": weight}
        for picture, numbers, weight in zip(pictures, measured, weights, strict=True)
    ]
    return DataLoader(rows, batch_size=32, shuffle=shuffle)  # type: ignore[arg-type]


def loss(outputs: Tensor, batch: Batch) -> Tensor:
    return F.mse_loss(outputs, batch["weight"])


def error(outputs: Tensor, batch: Batch) -> Tensor:
    return (outputs - batch["weight"]).abs()


def task() -> Task:
    """The task, with a network that is trained here in seconds."""
    torch.manual_seed(0)
    train, model = loader(1024, seed=0, shuffle=True), Weigher()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(15):
        for batch in train:
            optimizer.zero_grad()
            loss(model(batch["picture"], batch["measured"]), batch).backward()
            optimizer.step()
    return Task(
        model=model.eval(),
        train=train,
        validation=loader(256, seed=1),
        test=loader(512, seed=2),
        loss=loss,
        metric=Metric("mean absolute error", error, higher_is_better=False, unit="kg"),
    )
