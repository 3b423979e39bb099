"""Which channels pass which activation function, and that a watched forward finds them there."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from networks import SMALL
from torch import nn

import spaces
from prune_ops.tracing import ActivationTracer, of_channels
from spaces import ModelError


def discovered(name):
    torch.manual_seed(0)
    model = SMALL[name]().eval()
    return model, spaces.discover(model, (torch.zeros(1, 3, 8, 8),))


def passed(space):
    return [(a.function, a.dim, sorted(a.channels)) for a in space.activations]


@pytest.mark.parametrize(
    ("name", "uses"),
    [
        ("Plain", [("relu", 1, ["a.0"]), ("relu", 1, ["b.0"])]),
        # The stem, the block's inside, and the stream again once the block was added.
        ("Residual", [("relu", 1, ["stem.0"]), ("relu", 1, ["conv1.0"]), ("relu", 1, ["stem.0"])]),
        ("Depthwise", [("relu", 1, ["a.0"]), ("relu6", 1, ["a.0"])]),
        ("SelfAttention", [("gelu", 2, ["up"])]),
        # LiteralSplit's first layer is frozen: nobody's channels pass there.
        ("LiteralSplit", [("relu", 1, []), ("relu", 1, ["b.0"])]),
    ],
)
def test_uses_in_the_order_of_the_forward(name, uses):
    assert passed(discovered(name)[1]) == uses


def test_only_what_gives_exact_zeros_rectifies():
    space = discovered("Depthwise")[1]
    assert [a.rectifies for a in space.activations] == [True, True]
    assert [a.rectifies for a in discovered("SelfAttention")[1].activations] == [False]


@pytest.mark.parametrize("name", SMALL)
def test_a_removed_channel_is_what_is_said_to_pass(name):
    """Poison: whatever of a channel is set to 100 shows up where the channel is said to lie."""
    model, space = discovered(name)
    for group in space.groups:
        first = [a for a in space.activations if group.name in a.channels][:1]
        producers = [m for m in group.members if m.parameter.endswith("bias") and m.kind != "in"]
        if not first or not producers or first[0].function in ("prelu", "hardswish"):
            continue
        before = values_at(model, space, first[0], group.name)
        state = {k: v.clone() for k, v in model.state_dict().items()}
        for member in producers:
            tensor = dict(model.named_parameters())[member.parameter]
            tensor.data[torch.from_numpy(member.index[2])] += 100.0
        after = values_at(model, space, first[0], group.name)
        model.load_state_dict(state)
        changed = (after != before).any(1)
        assert changed[2], group.name
        assert changed.sum() == 1, group.name


def values_at(model, space, activation, group):
    found = []

    def keep(use, output):
        if use is activation:
            found.append(of_channels(use, group, output).clone())

    with torch.no_grad(), ActivationTracer(space.activations, keep):
        model(torch.ones(2, 3, 8, 8))
    return found[0]


class Fickle(nn.Module):
    """Uses other functions the second time."""

    def __init__(self):
        super().__init__()
        self.conv, self.head, self.other = nn.Conv2d(3, 8, 1), nn.Linear(8, 4), False

    def forward(self, x):
        x = F.gelu(self.conv(x)) if self.other else F.relu(self.conv(x))
        return self.head(x.mean((2, 3)))


def test_another_order_than_the_traced_is_told():
    model = Fickle().eval()
    space = spaces.discover(model, (torch.zeros(1, 3, 4, 4),))
    model.other = True
    with pytest.raises(ModelError, match="where relu was traced came gelu; use criteria that look"):
        values_at(model, space, space.activations[0], "conv")


def test_functions_modules_and_methods_are_all_seen():
    class Each(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 1), nn.Linear(8, 4)
            kinds = (nn.ReLU6, nn.Hardtanh, nn.SiLU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.ELU)
            kinds += (nn.SELU, nn.CELU, nn.Mish, nn.Softplus)
            self.all = nn.Sequential(*(kind() for kind in kinds), nn.ReLU(inplace=True))

        def forward(self, x):
            x = torch.relu(self.all(self.conv(x))).relu()
            return self.head(F.relu6(x).mean((2, 3)))

    model = Each().eval()
    space = spaces.discover(model, (torch.zeros(1, 3, 4, 4),))
    seen = []
    with ActivationTracer(space.activations, lambda use, _: seen.append(use.function)):
        model(torch.zeros(2, 3, 4, 4))
    assert seen == [
        *("relu6", "hardtanh", "silu", "gelu", "hardswish", "leaky_relu", "elu", "selu", "celu"),
        *("mish", "softplus", "relu", "relu", "relu", "relu6"),
    ]
    assert all("conv" in use.channels for use in space.activations)
