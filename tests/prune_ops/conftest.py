"""Tiny networks with groups written by hand, so that no test here leans on discovery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from spaces import Activation
from spaces.groups import ChannelGroup, Member


@dataclass(frozen=True)
class Groups:
    """As much of a Space as scoring reads."""

    groups: tuple[ChannelGroup, ...]
    activations: tuple[Activation, ...] = ()
    batched: bool = True


def group_of(name: str, channels: int, *places: tuple[str, int, str]) -> ChannelGroup:
    index = np.arange(channels)[:, None]
    members = tuple(Member(parameter, dim, index, kind) for parameter, dim, kind in places)
    return ChannelGroup(name, channels, members, tuple(range(1, channels + 1)))


@pytest.fixture
def make_groups():
    """``make_groups((name, channels, (parameter, dim, kind), …), …)`` → an object with groups."""
    return lambda *groups: Groups(tuple(group_of(*group) for group in groups))


@pytest.fixture
def two_linears(make_groups):
    """y = 3·(1·x) − 1·(2·x): the network of the sums worked out by hand, and its one group."""
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [2.0]]))
        model[1].weight.copy_(torch.tensor([[3.0, -1.0]]))
    return model, make_groups(("h", 2, ("0.weight", 0, "out"), ("1.weight", 1, "in")))


@pytest.fixture(scope="session")
def fresh_conv_bn_conv():
    """Builds Conv, BatchNorm, ReLU, Conv and the group between, the same each time."""
    return conv_bn_conv


def conv_bn_conv() -> tuple[nn.Sequential, Groups]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten(1)
    )
    norm = model[1]
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)
    places = [("0.weight", 0, "out"), ("0.bias", 0, "out"), ("3.weight", 1, "in")]
    names = ("weight", "bias", "running_mean", "running_var")
    places += [(f"1.{name}", 0, "norm") for name in names]
    passes = Activation("relu", 1, {"0": np.arange(6)[:, None]})
    return model.eval(), Groups((group_of("0", 6, *places),), (passes,))
