"""The devices that tests run on; ``pytest -m cuda`` runs those that need a GPU."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import torch

Test = TypeVar("Test", bound=Callable[..., object])

_MARKS = (
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
)

CUDA = pytest.param("cuda", marks=_MARKS)
DEVICES = ["cpu", CUDA]


def needs_cuda(test: Test) -> Test:
    """Mark a test that has no variant for the CPU."""
    for mark in _MARKS:
        test = mark(test)
    return test
