"""What networks are called with: forms, batches and what is none."""

import pytest
import torch
from networks import Plain
from torch import nn

import spaces
from spaces import inputs as forms

X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 16, 1), nn.Conv2d(3, 16, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x, y, scale=1.0):
        return {"sum": self.c((self.a(x) + self.b(y) * scale).relu()), "first": x.mean((1, 2, 3))}


class OneDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.two = Two()

    def forward(self, batch):
        return tuple(self.two(batch["image"], batch["other"]).values())


@pytest.mark.parametrize(
    ("network", "given"),
    [
        (Two, (X, X + 1)),
        (Two, [X, X + 1]),
        (Two, (X, X)),  # the same tensor twice is two inputs
        (Two, (X, X + 1, 2.0)),
        (Two, {"x": X, "y": X + 1}),
        (Two, {"y": X, "x": X + 1, "scale": 0.5}),
        (OneDict, {"image": X, "other": X + 1}),
        (OneDict, ({"image": X, "other": X + 1},)),
    ],
)
def test_every_form_of_inputs_is_searched(network, given):
    """Positions 64, 16·3 twice and 4·16 multiply-adds each, for one item of the four."""
    torch.manual_seed(0)
    net = network()
    space = spaces.discover(net, given)
    assert [g.channels for g in space.groups] == [16]
    assert space.full_flops == 64 * (2 * 16 * 3 + 4 * 16)
    assert space.batched
    assert forms.items(space.example) == 1
    keep = {space.groups[0].name: torch.arange(4).numpy()}
    small = spaces.slice_model(net, space, keep)
    shapes = [x.shape for x in forms.tensors(forms.call(small, given))]
    assert shapes == [(4, 4, 8, 8), (4,)]


@pytest.mark.parametrize("given", [None, "image", 3, (), {}, (1.0, None)])
def test_what_is_no_input_is_told_in_one_line(given):
    with pytest.raises(spaces.UserError, match=r"^example_inputs must .* called with$"):
        spaces.discover(Plain(), given)


class Sequence(nn.Module):
    """(steps, items, 8): the first dim is no batch, as every step sees those before it."""

    def __init__(self):
        super().__init__()
        self.before, self.up = nn.Linear(8, 12), nn.Linear(12, 16)
        self.cell, self.fc = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x):
        h = torch.zeros(x.shape[1], 16)
        for step in self.up(self.before(x).relu()):
            h = torch.tanh(self.cell(h) + step)
        return self.fc(h)


class Graph(nn.Module):
    """Node features and edges: neither has items along its first dim."""

    def __init__(self):
        super().__init__()
        self.up, self.fc = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x, edges):
        h = self.up(x).relu()
        return self.fc(h + torch.zeros_like(h).index_add(0, edges[1], h[edges[0]]))


@pytest.mark.parametrize(
    ("network", "given", "flops"),
    [
        (Sequence, (torch.randn(5, 2, 8),), 10 * (8 * 12 + 12 * 16 + 16 * 16) + 2 * 64),
        (Graph, (torch.randn(6, 8), torch.tensor([[0, 1, 2], [3, 4, 5]])), 6 * (8 * 16 + 16 * 4)),
        (Graph, {"x": torch.randn(2, 8), "edges": torch.tensor([[0], [1]])}, 2 * (128 + 64)),
        (lambda: nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 3)), X[0],
         36 * 16 * 27 + 16 * 4 * 16 * 9),
    ],
)  # fmt: skip
def test_inputs_whose_first_dim_is_no_batch_are_counted_whole(network, given, flops):
    torch.manual_seed(0)
    space = spaces.discover(network(), given)
    assert not space.batched
    assert space.full_flops == flops


def test_items_parts_and_joints():
    batch = {"a": torch.arange(6).view(3, 2), "b": (torch.zeros(3), "text")}
    assert forms.items(batch) == 3
    assert forms.items((torch.zeros(3), torch.zeros(2))) == 1
    pieces = [forms.part(batch, k, k + 1) for k in range(3)]
    assert pieces[1]["a"].tolist() == [[2, 3]]
    assert forms.joined(pieces)["a"].equal(batch["a"])
    assert forms.joined(pieces)["b"][1] == "text"
    assert forms.repeated(batch)["b"][0].shape == (6,)
