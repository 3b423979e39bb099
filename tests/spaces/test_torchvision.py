"""Exactness on the networks people use: 20 random policies each, against counters and masking."""

import numpy as np
import pytest
import torch
import torchvision
from oracles import check_surgery

from search.models import build
from spaces import fvcore_flops, slice_model

GROUPS = {
    "vgg16_bn": 15,
    "resnet50": 37,
    "resnext50_32x4d": 37,
    "mobilenet_v2": 25,
    "mobilenet_v3_large": 30,
    "efficientnet_b0": 40,
    "densenet121": 120,
    "shufflenet_v2_x1_0": 19,
    "googlenet": 61,
    "squeezenet1_1": 25,
    "regnet_y_400mf": 53,
    "mnasnet1_0": 25,
    "convnext_tiny": 22,
}


@pytest.mark.parametrize("name", GROUPS)
def test_torchvision(name):
    torch.manual_seed(0)
    options = {"init_weights": False} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, weights=None, num_classes=100, **options)
    space = check_surgery(model, (torch.randn(1, 3, 64, 64),), policies=20, by_fvcore=2)
    assert len(space.groups) == GROUPS[name]


@pytest.mark.parametrize(
    ("name", "groups"), [("resnet20", 10), ("resnet56", 28), ("resnet20b", 12), ("resnet56b", 30)]
)
def test_cifar_resnets_with_both_shortcuts(name, groups):
    torch.manual_seed(0)
    model, inputs = build(name, classes=10), (torch.randn(1, 3, 32, 32),)
    space = check_surgery(model, inputs, policies=20, by_fvcore=2)
    assert len(space.groups) == groups


def test_mobilenet_for_cifar():
    torch.manual_seed(0)
    model, inputs = build("mobilenet_v2_cifar", classes=10), (torch.randn(1, 3, 32, 32),)
    space = check_surgery(model, inputs, policies=20, by_fvcore=2)
    assert len(space.groups) == GROUPS["mobilenet_v2"]
    policy = space.uniform(0.5)
    small = slice_model(model, space, {name: np.arange(width) for name, width in policy.items()})
    assert small(*inputs).shape == (1, 10)
    assert fvcore_flops(small, inputs) == space.flops(policy) <= space.full_flops / 2


def test_the_papers_flops():
    inputs = (torch.zeros(1, 3, 32, 32),)
    from spaces import discover

    assert round(discover(build("resnet56", classes=10), inputs).full_flops / 1e6, 1) == 125.5
