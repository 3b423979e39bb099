"""What operations cost: every product is counted, wherever it stands, or named."""

import pytest
import torch
from networks import conv_bn
from torch import nn
from torch.utils.checkpoint import checkpoint

import spaces
from spaces.trace import trace

IMAGE = (torch.zeros(1, 3, 8, 8),)


class Counted(nn.Module):
    """A convolution of 16 channels on 4 positions, and an operation on their mean."""

    def __init__(self, operation):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 16, 7), nn.Linear(16, 4)
        self.lstm, self.gru, self.rnn = nn.LSTMCell(16, 8), nn.GRUCell(16, 8), nn.RNNCell(16, 8)
        self.bilinear = nn.Bilinear(16, 16, 5)
        self.w = nn.Parameter(torch.randn(16, 6) * 0.1)
        self.operation = operation

    def forward(self, x):
        y = self.conv(x).relu().mean((2, 3))
        return self.fc(y) + self.operation(self, y).sum()


CONV, FC = 4 * 16 * 3 * 49, 16 * 4


@pytest.mark.parametrize(
    ("operation", "flops"),
    [
        (lambda m, y: m.lstm(y)[0], 4 * 8 * (16 + 8)),
        (lambda m, y: m.gru(y), 3 * 8 * (16 + 8)),
        (lambda m, y: m.rnn(y), 8 * (16 + 8)),
        (lambda m, y: m.bilinear(y, y), 5 * 16 * 16),
        (lambda m, y: torch.tensordot(y, m.w, dims=1), 16 * 6),
        (lambda m, y: torch.linalg.multi_dot([y, m.w, m.w.T]), 16 * 6 + 6 * 16),
        (lambda _, y: torch.einsum("bi,bj->bij", y, y), 0),
        (lambda _, y: torch.einsum("bi->ib", y), 0),
        (lambda m, y: torch.einsum("...i,io->...o", y, m.w), 16 * 6),
        (lambda m, y: m.w.t().mv(y[0]), 6 * 16),
        (lambda _, y: torch.dot(y[0], y[0]), 16),
        (lambda m, y: torch.cond(y.sum() > 0, lambda z: z @ m.w, lambda z: z[:, :6] * 2, (y,)), 96),
    ],
)
def test_every_product_is_counted(operation, flops):
    torch.manual_seed(0)
    net = Counted(operation).eval()
    traced = trace(net, IMAGE)
    assert traced.uncounted == []
    assert sum(spaces.cost.layer_flops(traced.costs, net).values()) == CONV + FC + flops


def test_what_is_in_no_count_is_named():
    """How often the linear layer runs depends on the data; what ``cdist`` does, on its kernel."""

    class Chosen(Counted):
        def forward(self, x):
            y = self.conv(x).relu().flatten(2).transpose(1, 2)[0]
            return self.fc(y[y.sum(1) > 0]).sum(0) + torch.cdist(y, self.w.T).sum()

    torch.manual_seed(0)
    traced = trace(Chosen(None).eval(), IMAGE)
    assert [(u.module, u.operation) for u in traced.uncounted] == [("fc", "linear"), ("", "cdist")]


@pytest.mark.parametrize(
    "region",
    [
        lambda m, x: checkpoint(m.b, x, use_reentrant=False),
        lambda m, x: _autocast(m.b, x, enabled=False),
        lambda m, x: _autocast(m.b, x, dtype=torch.bfloat16),
        lambda m, x: _no_grad(lambda y: _autocast(m.b, y, dtype=torch.bfloat16), x),
        lambda m, x: _autocast(lambda y: _no_grad(m.b, y), x, dtype=torch.bfloat16),
    ],
)
def test_layers_within_a_region_are_like_any_other(region):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = conv_bn(3, 16), conv_bn(16, 16), conv_bn(16, 8)
            self.fc = nn.Linear(8, 4)

        def forward(self, x):
            return self.fc(self.c(region(self, self.a(x)).float()).mean((2, 3)))

    torch.manual_seed(0)
    space = spaces.discover(Net(), IMAGE)
    assert [g.name for g in space.groups] == ["a.0", "b.0", "c.0"]
    assert space.full_flops == 64 * (16 * 27 + 16 * 16 * 9 + 8 * 16 * 9) + 8 * 4


def _autocast(layer, x, **kwargs):
    with torch.autocast("cpu", **kwargs):
        return layer(x)


def _no_grad(layer, x):
    with torch.no_grad():
        return layer(x)
