"""scale: against NumPy's least squares over every output of a small layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import SMALL
from oracles import every_output
from torch import nn

import spaces
from prune_ops.surgery.pruning import operate

IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def scaled(model, groups, selection, surgery="scale"):
    return operate(model, groups, selection, surgery, [(x, None) for x in IMAGES.split(2)])


def contributions(layer, inputs):
    """(outputs, channels): what the layer gives for each channel alone, less its bias."""
    columns = []
    for c in range(inputs.shape[1]):
        alone = torch.zeros_like(inputs)
        alone[:, c] = inputs[:, c]
        columns.append((layer(alone) - layer(torch.zeros_like(inputs))).flatten())
    return torch.stack(columns, 1).double().detach().numpy()


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setattr("prune_ops.contributions.sampled", every_output)
    torch.manual_seed(0)
    model = SMALL["Plain"]().eval()
    groups = spaces.discover(model, (IMAGES[:1],)).groups
    x = contributions(model.b[0], model.a(IMAGES))
    return model, groups, x


KEEP = np.array([0, 3, 4, 9, 11, 15])


def test_scales_are_the_least_squares_ones(plain):
    model, groups, x = plain
    small = scaled(model, groups, {"a.0": KEEP})
    wanted = np.linalg.lstsq(x[:, KEEP], x.sum(1), rcond=None)[0]
    ratio = (small.b[0].weight / model.b[0].weight[:, KEEP]).double().detach()
    wanted = torch.from_numpy(wanted)[None, :, None, None].expand_as(ratio)
    torch.testing.assert_close(ratio, wanted, rtol=1e-4, atol=1e-4)
    assert (wanted - 1).abs().max() > 0.1


def test_outputs_are_never_missed_by_more_than_plainly(plain):
    model, groups, x = plain
    rng = np.random.default_rng(0)
    for width in (1, 4, 15):
        keep = np.sort(rng.permutation(16)[:width])
        small = scaled(model, groups, {"a.0": keep})
        s = (small.b[0].weight / model.b[0].weight[:, keep]).double().detach()[0, :, 0, 0].numpy()
        missed = x.sum(1) - x[:, keep] @ s
        assert np.square(missed).sum() <= np.square(x.sum(1) - x[:, keep].sum(1)).sum() * (1 + 1e-6)


def test_a_channel_whose_part_is_twice_that_of_one_that_stays_is_made_up_for(plain):
    model, groups, _ = plain
    with torch.no_grad():
        model.a[0].weight[1] = model.a[0].weight[0]
        model.b[0].weight[:, 1] = 2 * model.b[0].weight[:, 0]
    small = scaled(model, groups, {"a.0": np.delete(np.arange(16), 1)})
    torch.testing.assert_close(small.b[0].weight[:, 0], 3 * model.b[0].weight[:, 0])
    torch.testing.assert_close(small(IMAGES), model(IMAGES))


def test_channels_that_are_silent_keep_their_weights(plain):
    model, groups, _ = plain
    with torch.no_grad():
        model.a[1].weight[3], model.a[1].bias[3] = 0.0, -1.0
    small = scaled(model, groups, {"a.0": KEEP})
    torch.testing.assert_close(small.b[0].weight[:, 1], model.b[0].weight[:, 3])


def test_groups_that_one_layer_reads_are_fitted_together():
    """A channel of one branch makes up for its double in the other."""

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
            self.out = nn.Conv2d(8, 5, 1)

        def forward(self, x):
            return self.out(torch.cat([self.a(x), self.b(x)], 1)).mean((2, 3))

    torch.manual_seed(0)
    model = Branches().eval()
    with torch.no_grad():
        model.b.weight[2], model.b.bias[2] = model.a.weight[1], model.a.bias[1]
        model.out.weight[:, 4 + 2] = model.out.weight[:, 1]
        model.a.weight[[0, 2, 3]] = 0
        model.b.weight[[0, 1, 3]] = 0
    groups = spaces.discover(model, (IMAGES[:1],), round_to=1).groups
    small = scaled(model, groups, {"a": np.arange(4), "b": np.array([0, 1, 3])})
    torch.testing.assert_close(
        small.out.weight[:, 1], 2 * model.out.weight[:, 1], rtol=1e-3, atol=0
    )
    torch.testing.assert_close(small(IMAGES), model(IMAGES))
