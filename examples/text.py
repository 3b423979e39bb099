"""A small text encoder that says whether two numbers in a sentence of tokens are the same.

    python search.py --task examples.text:task --budget 0.6

Inputs are whole numbers with a mask, outputs a dict, and accuracy is a metric of our own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from search import Metric, Task

Batch = dict[str, Tensor]
WORDS, LENGTH = 24, 12


class Layer(nn.Module):
    """Self-attention of one head, and a network of two layers, each with its residual."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.inner = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.norm1(x)
        mixed = F.scaled_dot_product_attention(
            self.query(y), self.key(y), self.value(y), attn_mask=mask[:, None, :]
        )
        x = x + self.out(mixed)
        return x + self.inner(self.norm2(x))


class Encoder(nn.Module):
    def __init__(self, width: int = 32, inner: int = 96, depth: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.places = nn.Parameter(0.1 * torch.randn(LENGTH, width))
        self.layers = nn.ModuleList(Layer(width, inner) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        x = self.words(tokens) + self.places
        for layer in self.layers:
            x = layer(x, mask)
        return {"logits": self.head(self.norm(x)[:, 0])}


def loader(items: int, seed: int, shuffle: bool = False) -> DataLoader[Batch]:
    """Sentences whose first token is found again in half of them."""
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.stack([torch.randperm(WORDS, generator=draw)[:LENGTH] for _ in range(items)])
    again = torch.randint(2, (items,), generator=draw)
    place = torch.randint(1, LENGTH // 2, (items,), generator=draw)
    rows = torch.arange(items)
    tokens[rows, place] = torch.where(again == 1, tokens[:, 0], tokens[rows, place])
    ends = torch.randint(LENGTH // 2, LENGTH + 1, (items, 1), generator=draw)
    mask = torch.arange(LENGTH) < ends
    sentences = [
        {"tokens": t, "mask": m, "again": a} for t, m, a in zip(tokens, mask, again, strict=True)
    ]
    return DataLoader(sentences, batch_size=64, shuffle=shuffle)  # type: ignore[arg-type]


def loss(outputs: dict[str, Tensor], batch: Batch) -> Tensor:
    return F.cross_entropy(outputs["logits"], batch["again"])


def right(outputs: dict[str, Tensor], batch: Batch) -> Tensor:
    return outputs["logits"].argmax(1) == batch["again"]


def task() -> Task:
    """The task, with a network that is trained here in seconds."""
    torch.manual_seed(0)
    train, model = loader(2048, seed=0, shuffle=True), Encoder()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(12):
        for batch in train:
            optimizer.zero_grad()
            loss(model(batch["tokens"], batch["mask"]), batch).backward()
            optimizer.step()
    return Task(
        model=model.eval(),
        train=train,
        validation=loader(512, seed=1),
        test=loader(1024, seed=2),
        loss=loss,
        metric=Metric("sentences right", right, higher_is_better=True, unit="%"),
    )
