"""Networks of a user's, in a module of theirs, to be exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import prune_ops
import spaces
from search.exporting.subject import Subject

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(5))
NETS = "shipped_nets"
SOURCE = '''
"""Networks of a user's: what their forwards read must be right where they are rebuilt."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations


class Plain(nn.Module):
    """A depthwise and a grouped convolution; the head reads sizes of another layer."""

    def __init__(self, num_classes=5):
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.deep = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.b = nn.Conv2d(16, 24, 3, padding=1)
        self.last = nn.LayerNorm(24)
        self.fc = nn.Linear(24, num_classes)

    def between(self, x):
        return x

    def forward(self, x):
        x = F.relu(self.norm(self.a(x)))
        x = F.conv2d(x, self.deep.weight, self.deep.bias, padding=1, groups=self.deep.groups)
        x = F.relu(self.b(self.between(F.relu(x))))
        x = x.view(x.shape[0], self.b.out_channels, -1).mean(2)
        return self.fc(F.layer_norm(x, self.last.normalized_shape, self.last.weight))


class Tied(Plain):
    def __init__(self):
        super().__init__()
        self.c, self.d = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.d.weight = self.c.weight
        self.held = [self.c.weight]

    def between(self, x):
        return self.d(F.relu(self.c(x))) + F.conv2d(x, self.held[0])


class Unsaved(Plain):
    """Buffers that no state_dict holds, that are None, and that are filled by a forward."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.randn(1, 16, 1, 1), persistent=False)
        self.register_buffer("never", None)
        self.register_buffer("shift", None)

    def between(self, x):
        if self.shift is None:
            self.shift = torch.full((1,), 0.5)
        return x * self.table + self.shift


class Extra(Plain):
    def __init__(self):
        super().__init__()
        self.power = {"steps": (1.0, 2), "scale": torch.rand(3, 1, 1)}

    def get_extra_state(self):
        return self.power

    def set_extra_state(self, state):
        self.power = state

    def forward(self, x):
        first, second = self.power["steps"]
        return super().forward(x * self.power["scale"] * first + second)


class Normalised(Plain):
    def __init__(self):
        super().__init__()
        parametrizations.weight_norm(self.fc)


class Attends(nn.Module):
    """Its own attention reads how many heads there are, and how wide they are."""

    def __init__(self):
        super().__init__()
        self.heads, self.width = 4, 8
        self.stem = nn.Linear(24, 32)
        self.qkv = nn.Linear(32, 3 * self.heads * self.width)
        self.out = nn.Linear(self.heads * self.width, 32)
        self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)
        self.fc = nn.Linear(32, 5)

    def forward(self, x):
        x = self.stem(x.permute(0, 2, 1, 3).flatten(2))
        q, k, v = self.qkv(x).view(len(x), -1, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return self.fc((x + self.down(F.gelu(self.up(x)))).mean(1))
'''
KINDS = ("Plain", "Tied", "Unsaved", "Extra", "Normalised", "Attends")


def subject_of(model: nn.Module, example: Tensor) -> Subject:
    """The network, cut to about 0.6 of its flops."""
    space = spaces.discover(model, example)
    policy = space.project(space.full, 0.6)
    scores = prune_ops.score(model, space, [], ["l1"])["l1"]
    small = prune_ops.prune(model, space, policy, scores).eval()
    return Subject(model=small, title="a network", example=(example[:1],), widths=dict(policy))
