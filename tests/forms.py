"""Small networks of every form of inputs and outputs, each beside the same one in its usual form.

``usual`` takes one tensor of a batch and gives one tensor of logits; its parameters have the same
names, so what is said of it must be said of the network too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from oracles import randomise
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import spaces


class Pictures(nn.Module):
    """Two stems whose maps are added, BatchNorm, a convolution, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 8, 3, bias=False), nn.Conv2d(1, 8, 3)
        self.norm, self.conv, self.last = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def logits(self, x: Tensor, y: Tensor) -> Tensor:
        hidden = self.norm(self.left(x) + self.right(y)).relu()
        return self.head(self.last(self.conv(hidden)).relu().mean((2, 3)))

    def forward(self, x: Tensor) -> Any:
        return self.logits(x[:, :2], x[:, 2:])


class Two(Pictures):
    def forward(self, x: Tensor, y: Tensor) -> Any:  # type: ignore[override]
        return self.logits(x, y)


class OneDict(Pictures):
    def forward(self, batch: dict[str, Tensor]) -> Any:  # type: ignore[override]
        return self.logits(batch["x"], batch["y"])


class TupleOut(Pictures):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return logits, logits.argmax(1)


class DictOut(Pictures):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return {"scores": {"logits": logits}, "classes": logits.argmax(1)}


class Tokens(nn.Module):
    """Integers through an embedding; the usual form takes them as real numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.hidden, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.hidden(self.embedding(tokens).relu()).relu().mean(1))


class RealTokens(Tokens):
    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens.long())


class Image(nn.Module):
    """One image ``(1, H, W)``, or in the usual form a batch of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)
        self.third, self.head = nn.Conv2d(8, 8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x).relu()).relu()
        x = (x + self.third(x)).relu()
        return self.head(x.mean((-2, -1)))


class Sequence(nn.Module):
    """``(T, B, F)``; in the usual form ``(B, T, F)``."""

    along = 0

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x).relu()).relu().mean(self.along))


class BatchFirst(Sequence):
    along = 1


def pictures(items: int, generator: torch.Generator) -> Tensor:
    return torch.randn(items, 3, 8, 8, generator=generator)


def tokens(items: int, generator: torch.Generator) -> Tensor:
    return torch.randint(12, (items, 5), generator=generator)


def grey(items: int, generator: torch.Generator) -> Tensor:
    return torch.randn(items, 1, 8, 8, generator=generator)


def series(items: int, generator: torch.Generator) -> Tensor:
    return torch.randn(items, 5, 3, generator=generator)


@dataclass(frozen=True)
class Form:
    """A network and what it is called with, of the usual inputs ``x`` and targets ``y``.

    Attributes:
        batched: whether items of a batch lie along the first dim; else each is given alone.
        lacks: criteria that cannot judge it, whatever its form.
        missing: leading dims that activations have in the usual form only. Where there are, the
            space is that of the usual form: what discovery makes of such a network is not asked.
    """

    network: type[nn.Module]
    usual: type[nn.Module]
    drawn: Callable[[int, torch.Generator], Tensor]
    inputs: Callable[[Tensor], Any] = lambda x: x
    targets: Callable[[Tensor], Any] = lambda y: y
    loss: Callable[[Any, Any], Tensor] = cross_entropy
    batched: bool = True
    lacks: tuple[str, ...] = ("bn_scale",)
    missing: int = 0

    def model(self, usual: bool = False) -> nn.Module:
        torch.manual_seed(0)
        model = (self.usual if usual else self.network)()
        randomise(model)
        return model.eval()

    def batches(self, usual: bool = False) -> list[tuple[Any, Any]]:
        generator = torch.Generator().manual_seed(1)
        x, y = self.drawn(7, generator), torch.randint(4, (7,), generator=generator)
        size = 4 if self.batched else 1
        pairs = list(zip(x.split(size), y.split(size), strict=True))
        return pairs if usual else [(self.inputs(x), self.targets(y)) for x, y in pairs]

    def space(self, usual: bool = False) -> spaces.Space:
        inputs, _ = self.batches(usual or bool(self.missing))[0]
        if isinstance(inputs, dict):
            inputs = (inputs,) if self.network is OneDict else tuple(inputs.values())
        found = spaces.discover(self.model(usual), inputs)
        missing = 0 if usual else self.missing
        uses = tuple(replace(use, dim=use.dim - missing) for use in found.activations)
        return replace(found, batched=usual or self.batched, activations=uses)


def named(x: Tensor) -> dict[str, Tensor]:
    return {"x": x[:, :2], "y": x[:, 2:]}


FORMS = {
    "two inputs": Form(Two, Pictures, pictures, lambda x: (x[:, :2], x[:, 2:]), lacks=()),
    "inputs by name": Form(Two, Pictures, pictures, named, lacks=()),
    "one dict": Form(OneDict, Pictures, pictures, named, lacks=()),
    "a tuple out": Form(
        *(TupleOut, Pictures, pictures),
        loss=lambda outputs, y: cross_entropy(outputs[0], y),
        lacks=(),
    ),
    "dicts out, and as targets": Form(
        *(DictOut, Pictures, pictures),
        targets=lambda y: {"class": (y,)},
        loss=lambda outputs, y: cross_entropy(outputs["scores"]["logits"], y["class"][0]),
        lacks=(),
    ),
    "integers": Form(Tokens, RealTokens, tokens),
    "an image without a batch": Form(
        *(Image, Image, grey), lambda x: x[0], lambda y: y[0], batched=False, missing=1
    ),
    "the sequence first": Form(
        *(Sequence, BatchFirst, series), lambda x: x.transpose(0, 1), batched=False
    ),
}
