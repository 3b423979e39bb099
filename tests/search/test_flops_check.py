"""What is said of the flops of the finals: who agrees, and where who differs, and why."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import results
import spaces
from search.cli import main
from search.flops_check import compared
from spaces import Space
from spaces.counters import Count, opinions
from spaces.walk import Uncounted

IMAGE = torch.zeros(1, 3, 8, 8)


def convolutions(padding: Any, *, kernels: tuple[int, ...] = (3, 3, 3, 3, 3)) -> nn.Sequential:
    """Convolutions of 8 channels, ReLU after each, and a classifier."""
    layers: list[nn.Module] = []
    for number, kernel in enumerate(kernels):
        layers += [nn.Conv2d(8 if number else 3, 8, kernel, padding=padding), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def halved(model: nn.Module, example: Any = IMAGE) -> tuple[int, nn.Module, Space]:
    """The network at half its flops, what that costs, and the space it is from."""
    space = spaces.discover(model, example)
    policy = space.uniform(0.5)
    kept = {group.name: range(policy[group.name]) for group in space.groups}
    return space.flops(policy), spaces.slice_model(model, space, kept), space


def lines(model: nn.Module, example: Any = IMAGE) -> list[str]:
    flops, small, space = halved(model, example)
    return list(compared("trial 7", flops, small, space, opinions(small, example)))


def test_three_that_agree_are_one_line() -> None:
    flops, *_ = halved(convolutions(1))
    said = f"fvcore and torch count {flops:,} flops in trial 7, exactly what the search did"
    assert lines(convolutions(1)) == [said]


def test_padding_by_name_is_told_with_its_layers() -> None:
    model = convolutions("same")
    flops, small, _ = halved(model)
    left = small[12].in_features * 4
    assert lines(model) == [
        f"torch counts {flops:,} flops in trial 7, exactly what the search did",
        f"fvcore counts {left:,} flops in trial 7, the search {flops:,}: {flops - left:,} fewer in "
        '0, 2, 4 and 2 more (fvcore skips padding="same" or "valid")',
    ]


class Wrapped(nn.Module):
    """A network called in some way, between a stem and a classifier."""

    def __init__(self, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.block, self.fc = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.Linear(16, 4)
        self.call_block = call

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.call_block(self.block, self.stem(x).relu()).mean((2, 3)))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # checkpoint's
def test_a_counter_that_fails_says_so_and_the_other_still_counts() -> None:
    model = Wrapped(lambda block, x: checkpoint(block, x, use_reentrant=True))
    flops, *_ = halved(model)
    first, second = lines(model)
    assert first == f"torch counts {flops:,} flops in trial 7, exactly what the search did"
    assert second.startswith("fvcore cannot count the flops of trial 7 (RuntimeError: ")


THEIRS = """
from torch import nn
from torch.utils.checkpoint import checkpoint

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem, self.block = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 16, 3, padding="same")
        self.fc = nn.Linear(16, classes)

    def forward(self, x):
        x = self.stem(x).relu()
        return self.fc(checkpoint(self.block, x, use_reentrant=True).relu().mean((2, 3)))

def net(num_classes):
    return Net(num_classes)
"""


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_search_ends_well_where_a_counter_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpointed.py").write_text(THEIRS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    options = ["--trials", "2", "--criterion", "l1", "--starts", "l1", "--train-images", "128"]
    options += ["--rungs", "1", "--final-epochs", "1", "--final-seeds", "1", "--name", "mine"]
    options += [
        "--lr",
        "0.005",
        "--sampler",
        "tpe",
    ]  # another would need gradients of the loss by the weights
    assert main(["--model", "checkpointed:net", *options]) == 0
    agreeing, failing = results.load(Path("runs/mine")).provenance["checks"][:2]
    assert re.fullmatch(r"torch counts [\d,]+ flops in .*, exactly what the search did", agreeing)
    assert re.fullmatch(r"fvcore cannot count the flops of .* \(RuntimeError: .*\)", failing)


def test_a_layer_in_two_places_is_one_layer() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, padding="same")
            self.again, self.fc = self.conv, nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.again(self.conv(self.stem(x).relu()).relu())
            return self.fc(x.mean((2, 3)))

    _, small, _ = halved(Twice())
    skipped = 2 * 36 * 9 * small.conv.in_channels * small.conv.out_channels
    assert f": {skipped:,} fewer in conv (fvcore skips" in lines(Twice())[1]


@pytest.fixture(scope="module")
def pruned() -> tuple[int, nn.Module, Space]:
    return halved(convolutions(1, kernels=(3, 3)))


def by_layer(pruned: tuple[int, nn.Module, Space]) -> dict[str, int]:
    _, small, _ = pruned
    (_, torch_count) = opinions(small, IMAGE)
    return torch_count.layers


def test_what_the_search_leaves_out_is_told_as_its_own(
    pruned: tuple[int, nn.Module, Space],
) -> None:
    flops, small, space = pruned
    more = Count("torch", by_layer(pruned) | {"2": by_layer(pruned)["2"] + 500, "": 7})
    named = dataclasses.replace(space, uncounted=(Uncounted("2", "torchvision.deform_conv2d"),))
    assert list(compared("trial 7", flops, small, named, [more])) == [
        f"torch counts {flops + 507:,} flops in trial 7, the search {flops:,}: 500 more in 2 (the "
        "search does not count torchvision.deform_conv2d); 7 more in the network itself (the "
        "search has no count for it)"
    ]


def test_without_a_known_reason_the_operations_are_named(
    pruned: tuple[int, nn.Module, Space],
) -> None:
    flops, small, space = pruned
    layers = by_layer(pruned)
    for calls, why in (
        (("roll", "my_op"), "it calls roll, my_op"),
        (("a", "b", "c", "d"), "it calls a, b, c and 1 more"),
        ((), "no reason is known"),
    ):
        less = Count("torch", layers | {"0": 0}, {"0": calls})
        assert list(compared("trial 7", flops, small, space, [less])) == [
            f"torch counts {flops - layers['0']:,} flops in trial 7, the search {flops:,}: "
            f"{layers['0']:,} fewer in 0 ({why})"
        ]
