"""What the tests of the search share: the digits task at its smallest, untrained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pictures import undrawn

import spaces
from search import models
from spaces import Space


@pytest.fixture(scope="module", autouse=True)
def pictures() -> Iterator[None]:
    """What searches come to is tested here; what reports look like, in ``tests/results``."""
    with undrawn():
        yield


@pytest.fixture(scope="session")
def space() -> Space:
    """Six groups, 1.49 M flops."""
    torch.manual_seed(0)
    model = models.build("digits_cnn", classes=10, in_channels=1)
    return spaces.discover(model, (torch.zeros(1, 1, 8, 8),))


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network that nobody trained: the same for every process, and a search that is
    given them trains no baseline."""
    torch.manual_seed(0)
    path = Path(tmp_path_factory.mktemp("weights")) / "digits.pt"
    torch.save(models.build("digits_small", classes=10, in_channels=1).state_dict(), path)
    return path
