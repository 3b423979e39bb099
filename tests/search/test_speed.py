"""How long networks take: every one with every batch size, as it was before."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from search import speed
from search.speed import BATCHES, speeds


class Slow(nn.Module):
    """Sleeps for a time that grows with the batch."""

    def __init__(self, milliseconds: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.float64))
        self._seconds = milliseconds / 1000
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.shapes.append(tuple(x.shape))
        time.sleep(self._seconds)
        return x * self.scale


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.0)


class OneByOne(Slow):
    """Takes one image at a time."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            raise RuntimeError("out of memory")
        return super().forward(x)


@pytest.mark.usefixtures("quick")
def test_a_batch_that_some_network_does_not_take_has_no_time() -> None:
    networks = {"unpruned": Slow(1).eval(), "small": OneByOne(1).train()}
    found = speeds(networks, (torch.zeros(1, 3),))
    assert [(each.name, each.batch) for each in found] == [("unpruned", 1), ("small", 1)]
    assert networks["small"].training


@pytest.mark.usefixtures("quick")
def test_every_network_has_its_time_with_every_batch_size() -> None:
    networks = {"unpruned": Slow(8).train(), "small": Slow(2).eval()}
    found = speeds(networks, (torch.zeros(1, 3),))
    assert [(each.name, each.batch) for each in found] == [
        (name, batch) for batch in BATCHES for name in networks
    ]
    unpruned, small = found[:2]
    assert 0.008 <= unpruned.low <= unpruned.seconds <= unpruned.high
    assert 0.002 <= small.seconds < unpruned.seconds
    assert {each.passes for each in found} == {speed.LEAST}
    assert unpruned.size == 3 * 4 + 2 * 8
    assert networks["unpruned"].training
    assert not networks["small"].training
    assert set(networks["small"].shapes) == {(batch, 3) for batch in BATCHES}
