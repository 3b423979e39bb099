"""A training loop of our own: a U-shaped network that takes noise away, trained as we always do.

    python search.py --task examples.own_loop:task --budget 0.5

``train`` has its own optimizer, schedule, augmentation and loss, and keeps checkpoints. Every
network of the search is trained by it: on the rungs, in the finals, and by ``compare``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from search import Metric, Task
from search.training.own_loop import LoopCheckpoint

Batch = list[Tensor]
SIDE, NOISE = 16, 0.3


class Denoiser(nn.Module):
    """Says what is noise in an image: one step down, one up, and the step across."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU())
        self.up = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.leave = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 3, padding=1)
        )

    def forward(self, noisy: Tensor) -> Tensor:
        x = self.enter(noisy)
        y = self.up(self.down(x))
        return noisy - self.leave(torch.cat([x, y], 1))


def images(count: int, seed: int) -> Tensor:
    """Smooth blobs of two brightnesses (count, 1, SIDE, SIDE)."""
    coarse = torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=SIDE, mode="bicubic").sign()


def loader(count: int, seed: int) -> DataLoader[tuple[Tensor, ...]]:
    """Noisy images and the clean ones; the noise is always the same."""
    clean = images(count, seed)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed + 1000))
    return DataLoader(TensorDataset(clean + NOISE * noise, clean), batch_size=64)


def loss(outputs: Tensor, batch: Batch) -> Tensor:
    return F.l1_loss(outputs, batch[1])


def error(outputs: Tensor, batch: Batch) -> Tensor:
    return (outputs - batch[1]).abs().mean((1, 2, 3))


def train(
    model: nn.Module, epochs: int, seed: int, checkpoint: LoopCheckpoint | None = None
) -> None:
    """Noise is drawn anew in every step, images are mirrored; Adam at a rate that falls to 0."""
    device = next(model.parameters()).device
    draw, clean, steps = torch.Generator().manual_seed(seed), images(256, seed=0), 4
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    done = 0
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        for part, saved in zip((model, optimizer, schedule), state["parts"], strict=True):
            part.load_state_dict(saved)
        draw.set_state(state["draw"])
        done = state["done"]
    model.train()
    for epoch in range(done, epochs):
        for chosen in torch.randperm(len(clean), generator=draw).chunk(steps):
            wanted = clean[chosen].flip(3) if epoch % 2 else clean[chosen]
            noisy = wanted + NOISE * torch.randn(wanted.shape, generator=draw)
            optimizer.zero_grad()
            F.l1_loss(model(noisy.to(device)), wanted.to(device)).backward()
            optimizer.step()
            schedule.step()
        if checkpoint is not None:
            parts = [part.state_dict() for part in (model, optimizer, schedule)]
            checkpoint.save({"parts": parts, "draw": draw.get_state(), "done": epoch + 1})


def task() -> Task:
    """The task, with a network that is trained here in seconds."""
    torch.manual_seed(0)
    model = Denoiser()
    train(model, epochs=15, seed=0)
    return Task(
        model=model.eval(),
        train=loader(256, seed=0),
        validation=loader(128, seed=1),
        test=loader(256, seed=2),
        loss=loss,
        metric=Metric("mean absolute error", error, higher_is_better=False),
        train_loop=train,
    )
