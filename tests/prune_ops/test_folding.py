"""fold_beta: constants worked out by hand, and outputs that stay where scales were zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import conv_bn
from oracles import randomise
from torch import nn

import spaces
from prune_ops.surgery.pruning import operate

KEEP = np.array([1, 2, 4])
"""Of six channels; 0, 3 and 5 go."""


@pytest.fixture
def network(fresh_conv_bn_conv):
    """Builds Conv 3x3, BatchNorm, ReLU and what is given, and the group of six between."""

    def build(*then, gone=0.0):
        model, groups = fresh_conv_bn_conv()
        model = nn.Sequential(*model[:3], *then).eval()
        model[1].bias.data = torch.tensor([0.5, -0.5, 1.0, 2.0, 0.1, -0.7])
        model[1].weight.data[[0, 3, 5]] = gone
        return model, groups.groups

    return build


BETA = torch.tensor([0.5, 2.0, 0.0])
"""ReLU(β) of the channels that go."""
IMAGES = torch.rand(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))


def folded(model, groups, surgery="fold_beta"):
    return operate(model, groups, {groups[0].name: KEEP}, surgery, [(IMAGES, IMAGES)])


def test_a_bias_takes_the_constant_of_channels_without_scale(network):
    model, groups = network(nn.Conv2d(6, 4, 1))
    small = folded(model, groups)
    lost = model[3].weight[:, [0, 3, 5], 0, 0] @ BETA
    torch.testing.assert_close(small[3].bias, model[3].bias + lost)
    torch.testing.assert_close(small(IMAGES), model(IMAGES))
    assert (folded(model, groups, "plain")(IMAGES) - model(IMAGES)).abs().max() > 0.1


@pytest.mark.parametrize("affine", [True, False])
def test_without_a_bias_the_mean_of_the_batch_norm_behind_takes_it(network, affine):
    norm = nn.BatchNorm2d(4, affine=affine)
    model, groups = network(nn.Conv2d(6, 4, 1, bias=False), norm, nn.ReLU(inplace=True))
    small = folded(model, groups)
    lost = model[3].weight[:, [0, 3, 5], 0, 0] @ BETA
    torch.testing.assert_close(small[4].running_mean, norm.running_mean - lost)
    torch.testing.assert_close(small(IMAGES), model(IMAGES))
    assert small.state_dict().keys() == model.state_dict().keys()


def test_with_neither_the_layer_is_cut_plainly(network):
    model, groups = network(nn.Conv2d(6, 4, 1, bias=False), nn.ReLU())
    small, plain = folded(model, groups), folded(model, groups, "plain")
    assert all(torch.equal(small.state_dict()[n], v) for n, v in plain.state_dict().items())


def test_what_was_emitted_at_scale_zero_is_folded_whatever_the_scale_was(network):
    model, groups = network(nn.Conv2d(6, 4, 1), gone=1.0)
    lost = model[3].weight[:, [0, 3, 5], 0, 0] @ BETA
    torch.testing.assert_close(folded(model, groups)[3].bias, model[3].bias + lost)


def test_without_padding_a_larger_kernel_is_exact_too(network):
    model, groups = network(nn.Conv2d(6, 4, 3, stride=2))
    torch.testing.assert_close(folded(model, groups)(IMAGES), model(IMAGES))


def test_at_a_border_of_zeros_the_constant_is_the_mean_over_the_map(network):
    """Five rows: the middle tap meets all, an outer one four; likewise for columns."""
    model, groups = network(nn.Conv2d(6, 4, 3, padding=1))
    small = folded(model, groups)
    share = torch.tensor([0.8, 1.0, 0.8])
    weight = (model[3].weight[:, [0, 3, 5]] * share[:, None] * share).sum((2, 3))
    torch.testing.assert_close(small[3].bias, model[3].bias + weight @ BETA)
    errors = [(m(IMAGES) - model(IMAGES)).square() for m in (small, folded(model, groups, "plain"))]
    assert (errors[0].sum((0, 2, 3)) < errors[1].sum((0, 2, 3))).all()


class Twice(nn.Module):
    """One layer reads the same channels twice, the second time raised by one."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)

    def forward(self, x):
        x = self.norm(self.a(x)).relu()
        return self.b(x) + self.b(x + 1)


def test_a_bias_of_a_layer_used_twice_takes_the_mean():
    """Weight 3 by ReLU(β) = 1, and by 2: the mean of 3 and 6."""
    model = Twice().eval()
    with torch.no_grad():
        model.norm.bias.fill_(1.0)
        model.b.weight.fill_(3.0)
    groups = spaces.discover(model, (torch.zeros(1, 2),), round_to=1).groups
    small = operate(model, groups, {"a": np.array([1])}, "fold_beta", [(torch.rand(4, 2), None)])
    torch.testing.assert_close(small.b.bias, model.b.bias + 4.5)


class Block(nn.Module):
    """Three convolutions read the stream: one in the block, one behind it, one that is a branch."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner = conv_bn(3, 4), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
        self.back, self.norm = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.out = nn.Sequential(nn.Conv2d(4, 5, 1, bias=False), nn.BatchNorm2d(5))

    def forward(self, x):
        x = self.stem(x)
        x = (x + self.norm(self.back(self.inner(x)))).relu_()
        return self.out(x).mean((2, 3))


def test_a_residual_stream_is_folded_wherever_it_is_read():
    torch.manual_seed(0)
    model = Block().eval()
    randomise(model)
    gone, keep = [0, 2], np.array([1, 3])
    with torch.no_grad():
        for norm in (model.stem[1], model.norm):
            norm.weight[gone], norm.bias[gone] = 0.0, torch.tensor([0.3, 0.4])
    groups = spaces.discover(model, (IMAGES[:1],), round_to=1).groups
    small = operate(model, groups, {"stem.0": keep}, "fold_beta", [(IMAGES, None)])
    torch.testing.assert_close(small(IMAGES), model(IMAGES))
    inner, out = model.inner[0], model.out[0]
    once, both = torch.tensor([0.3, 0.4]), torch.tensor([0.6, 0.8])
    lost = inner.weight[:, gone, 0, 0] @ once
    torch.testing.assert_close(small.inner[0].bias, inner.bias + lost)
    lost = out.weight[:, gone, 0, 0] @ both
    torch.testing.assert_close(small.out[1].running_mean, model.out[1].running_mean - lost)
