"""Small networks that tests share: each has one thing that makes pruning hard."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


def conv_bn(inputs: int, outputs: int, **kwargs: int) -> nn.Sequential:
    """3×3 convolution without bias, BatchNorm, ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False, **kwargs)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Head(nn.Module):
    """Global average pool and a linear classifier."""

    def __init__(self, channels: int, classes: int = 10) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


class Plain(nn.Module):
    """conv 3→16, conv 16→32, classifier 32→10: flops can be worked out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv_bn(3, 16), conv_bn(16, 32), Head(32)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x)))


class Residual(nn.Module):
    """A stem and one residual block: the stem and the block's output share one width."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = conv_bn(3, 16), Head(16)
        self.conv1, self.conv2 = conv_bn(16, 16), nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(F.relu(x + self.conv2(self.conv1(x))))


class PadShortcut(nn.Module):
    """Option A: the shortcut is padded with zeros on channels by a literal amount."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.head = conv_bn(3, 16), conv_bn(16, 32, stride=2), Head(32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.conv(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8)))


class Grouped(nn.Module):
    """A grouped convolution: every group must lose the same number of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv_bn(3, 32), conv_bn(32, 64, groups=4), Head(64)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x)))


class Depthwise(nn.Module):
    """A depthwise convolution with multiplier 2 between pointwise ones."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = conv_bn(3, 16), Head(24)
        self.depthwise = nn.Conv2d(16, 32, 3, padding=1, groups=16)
        self.point = nn.Conv2d(32, 24, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.point(F.relu6(self.depthwise(self.a(x)))))


class Separable(nn.Module):
    """A depthwise and a pointwise convolution, each with its BatchNorm and ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv_bn(3, 16), conv_bn(16, 16, groups=16), conv_bn(16, 24)
        self.head = Head(24)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.c(self.b(self.a(x))))


class Transposed(nn.Module):
    """Plain, grouped and depthwise transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = conv_bn(3, 16), Head(16)
        self.up = nn.ConvTranspose2d(16, 32, 2, stride=2)
        self.grouped = nn.ConvTranspose2d(32, 16, 2, stride=2, groups=4)
        self.depthwise = nn.ConvTranspose2d(16, 16, 3, padding=1, groups=16)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.depthwise(F.relu(self.grouped(F.relu(self.up(self.a(x)))))))


class Concat(nn.Module):
    """Two branches concatenated, then flattened into a linear layer with all positions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv_bn(3, 16), conv_bn(3, 24)
        self.fc1, self.fc2 = nn.Linear(40 * 16, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.cat([self.a(x), self.b(x)], 1), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


class Shuffle(nn.Module):
    """PixelShuffle: four channels become one with four times the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.conv = conv_bn(3, 64), conv_bn(16, 16)
        self.up, self.head = nn.PixelShuffle(2), Head(16)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(self.up(self.a(x))))


class ChannelShuffle(nn.Module):
    """Channels shuffled between groups by view, transpose and view."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv_bn(3, 32), conv_bn(32, 16), Head(16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(self.b(x))


class ChunkGate(nn.Module):
    """Channels split in halves, one gating the other, then concatenated with a third branch."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c, self.head = conv_bn(3, 32), conv_bn(3, 16), Head(32)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.a(x).chunk(2, 1)
        return self.head(torch.cat([left * right.sigmoid(), self.c(x)], 1))


class SqueezeExcite(nn.Module):
    """A squeeze-and-excitation gate."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = conv_bn(3, 32), Head(32)
        self.fc1, self.fc2 = nn.Conv2d(32, 16, 1), nn.Conv2d(16, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        gate = self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1))))
        return self.head(x * gate.sigmoid())


class ScaleNorm(nn.Module):
    """LayerNorm over channels, a layer-scale parameter of 1e-6, and GroupNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 32, 1), Head(32)
        self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32)
        self.scale = nn.Parameter(torch.full((32, 1, 1), 1e-6))
        self.last = nn.GroupNorm(4, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.down(F.gelu(self.up(self.norm(x.permute(0, 2, 3, 1))))).permute(0, 3, 1, 2)
        return self.head(self.last(x + self.scale * y))


class Literal(nn.Module):
    """A flatten with the size written out; a second layer that can be pruned all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv_bn(3, 16), conv_bn(16, 16)
        self.fc1, self.fc2 = nn.Linear(16 * 64, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(self.b(self.a(x)).view(-1, 1024))))


class LiteralSplit(nn.Module):
    """A split at a literal channel, with no error when the tensor is smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv_bn(3, 32), conv_bn(3, 16), Head(16)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        return self.head(self.b(x) * y[:, 8:9] + y[:, :8].mean(1, keepdim=True))


class Recurrent(nn.Module):
    """An LSTM over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv_bn(3, 16), conv_bn(16, 16)
        self.lstm, self.fc = nn.LSTM(16, 12, batch_first=True), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        sequence = self.b(self.a(x)).flatten(2).transpose(1, 2)
        return self.fc(self.lstm(sequence)[0][:, -1])


class Stacked(nn.Module):
    """Two GRU layers, both ways, with dropout between them; then a cell, step by step, and a
    bilinear layer, which stays whole."""

    def __init__(self) -> None:
        super().__init__()
        self.a = conv_bn(3, 16)
        self.gru = nn.GRU(16, 12, 2, bidirectional=True, dropout=0.5, batch_first=True)
        self.first, self.second = nn.LSTMCell(24, 16), nn.GRUCell(16, 8)
        self.pairs, self.fc = nn.Bilinear(8, 8, 6), nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.a(x), 4).flatten(2).transpose(1, 2)
        state = last = None
        for step in self.gru(x)[0].unbind(1):
            state = self.first(step, state)
            last = self.second(state[0], last)
        return self.fc(self.pairs(last, last))


class Parametrized(nn.Module):
    """A weight-normalised layer between plain ones: it is counted, and stays whole."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv_bn(3, 16), conv_bn(32, 16), Head(16)
        self.normed = weight_norm(nn.Conv2d(16, 32, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(F.relu(self.normed(self.a(x)))))


class SelfAttention(nn.Module):
    """Tokens, nn.MultiheadAttention and an MLP: the hidden layer of the MLP can be pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 4, stride=4)
        self.position = nn.Parameter(torch.zeros(1, 4, 32))
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.position
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.fc((x + self.down(F.gelu(self.up(self.norm(x))))).mean(1))


class Tokens(nn.Module):
    """Four tokens of width 24, to which attention is added; ``attended`` is for the subclasses."""

    def __init__(self, keys: int = 32) -> None:
        super().__init__()
        self.patch, self.fc = nn.Conv2d(3, 24, 4, stride=4), nn.Linear(24, 10)
        self.q, self.k, self.v = nn.Linear(24, 32), nn.Linear(24, keys), nn.Linear(24, keys)
        self.out = nn.Linear(32, 24)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        return self.fc((x + self.out(self.attended(self.q(x), self.k(x), self.v(x)))).mean(1))


class Heads(Tokens):
    """Fused attention; as many heads of 8 as there are channels for."""

    def attended(self, *qkv: Tensor) -> Tensor:
        q, k, v = (x.unflatten(2, (-1, 8)).transpose(1, 2) for x in qkv)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class HeadDims(Tokens):
    """Four heads whose dims follow the widths: those of queries and keys, and those of values."""

    def attended(self, *qkv: Tensor) -> Tensor:
        q, k, v = (x.unflatten(2, (4, -1)) for x in qkv)
        scores = torch.einsum("bthd,bshd->bhts", q, k) / 8**0.5
        return torch.einsum("bhts,bshd->bthd", scores.softmax(-1), v).flatten(2)


class GroupedHeads(Tokens):
    """By hand: two heads of keys and values, each for two of queries; a bias for each of these, and
    a mask that is kept as numbers."""

    def __init__(self) -> None:
        super().__init__(keys=16)
        self.bias = nn.Parameter(torch.zeros(4, 4, 4))
        self.register_buffer("mask", torch.ones(4, 4).tril())

    def attended(self, *qkv: Tensor) -> Tensor:
        q, k, v = (x.view(len(x), 4, -1, 8).transpose(1, 2) for x in qkv)
        k, v = (x.repeat_interleave(2, 1) for x in (k, v))
        scores = (q @ k.mT / 8**0.5 + self.bias).masked_fill(self.mask == 0, -1e9)
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class Shared(nn.Module):
    """One convolution used twice, and one weight shared by two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.twice, self.head = conv_bn(3, 16), conv_bn(16, 16), Head(16)
        self.left, self.right = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.right.weight = self.left.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(self.stem(x)))
        return self.head(self.left(x) + self.right(x))


class TrainOnly(nn.Module):
    """An auxiliary head that only train mode runs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head, self.aux = conv_bn(3, 16), conv_bn(16, 32), Head(32), Head(16)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.a(x)
        out = self.head(self.b(x))
        return (out, self.aux(x)) if self.training else out


class Everything(nn.Module):
    """Each way of pooling, padding and activating at once."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.prelu = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.norm, self.b = nn.InstanceNorm2d(32, affine=True), nn.Conv2d(16, 16, 3)
        self.pool, self.head = nn.AvgPool2d(2), Head(16)

    def forward(self, x: Tensor) -> Tensor:
        x = F.glu(self.norm(self.prelu(self.a(F.pad(x, (1, 1, 1, 1), mode="reflect")))), 1)
        x = F.hardswish(self.b(F.pad(x, (1, 1, 1, 1))))
        x = F.interpolate(self.pool(x), scale_factor=2, mode="bilinear")
        return self.head(x / x.pow(2).sum((2, 3), keepdim=True).add(1).sqrt())


class Stem(nn.Module):
    """Layers ``a`` and ``b`` of 16 channels, ``c`` of 8 and a classifier; to be put together."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.c, self.fc = nn.Conv2d(16, 8, 3, padding=1), nn.Linear(8, 4)

    def head(self, x: Tensor) -> Tensor:
        return self.fc(self.c(x.relu()).relu().mean((2, 3)))


SMALL: dict[str, type[nn.Module]] = {
    c.__name__: c
    for c in (
        Plain, Residual, PadShortcut, Grouped, Depthwise, Separable, Transposed, Concat, Shuffle,
        ChannelShuffle, ChunkGate, SqueezeExcite, ScaleNorm, Literal, LiteralSplit, Recurrent,
        Stacked, Parametrized, SelfAttention, Heads, HeadDims, GroupedHeads, Shared, TrainOnly,
        Everything,
    )
}  # fmt: skip
"""Name → class; all take (N, 3, 8, 8) and return (N, 10)."""
