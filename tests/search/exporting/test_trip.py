"""The round trip measures what differs, and says when it is more than rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prune_ops.running import accuracy
from search.data.splits import TensorSplit
from search.exporting.trip import Trip, round_trip

LOGITS = torch.tensor([[4.0, 0.0], [0.0, 3.0], [2.0, 1.0], [1.0, 2.0], [5.0, 1.0]])
SPLIT = TensorSplit(LOGITS.reshape(5, 2, 1, 1), torch.tensor([0, 1, 1, 1, 0]))
"""Images that are their own logits; four of the five are right."""


def trip(run: Callable[..., Any], most: int = 99, **how: Any) -> Trip:
    return round_trip(nn.Flatten(), run, SPLIT, most, accuracy, **how)


def test_what_is_the_same_is_equal() -> None:
    assert trip(nn.Flatten()) == Trip(
        items=5, largest=0.0, scale=5.0, allowed=1e-3, before=0.8, after=0.8
    )
    assert trip(nn.Flatten()).broken == ""


def test_the_first_images_alone_are_compared() -> None:
    found = trip(nn.Flatten(), most=3)
    assert (found.items, found.scale, found.before) == (3, 4.0, 2 / 3)


@pytest.mark.parametrize(("error", "is_broken"), [(0.0049, False), (0.0051, True)])
def test_differences_are_relative_to_the_largest_output(error: float, is_broken: bool) -> None:
    found = trip(lambda x: x.flatten(1) + torch.tensor([error, 0.0]))
    assert found.largest == pytest.approx(error, rel=1e-3)
    assert bool(found.broken) == is_broken
    if is_broken:
        assert found.broken == "outputs differ by up to 0.0051 of 5, and 0.005 is the most"


def test_outputs_of_another_shape_or_not_finite_differ_by_anything() -> None:
    for broken in (lambda x: x.flatten(1)[:, :1], lambda x: x.flatten(1) / 0):
        assert trip(broken).largest == math.inf
        assert trip(broken).broken


def test_another_metric_is_broken_though_outputs_are_near() -> None:
    found = Trip(items=100, largest=0.0, scale=1.0, allowed=1e-3, before=0.9, after=0.88)
    assert found.broken == "its accuracy is 88.00 %, not 90.00 %"
    one = Trip(items=100, largest=0.0, scale=1.0, allowed=1e-3, before=0.9, after=0.89)
    assert one.broken == ""


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_a_fixed_batch_is_always_full(size: int) -> None:
    sizes = []

    def run(x: Tensor) -> list[Tensor]:
        sizes.append(len(x))
        return [x.flatten(1)]

    found = trip(run, batch=size)
    assert (found.largest, found.before, found.items) == (0.0, 0.8, 5)
    assert sizes == [size] * -(-5 // size)


def test_where_any_number_is_taken_several_are_tried() -> None:
    sizes = []

    def run(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return x.flatten(1)

    assert trip(run, alone=True).largest == 0.0
    assert sizes == [1, 4]
