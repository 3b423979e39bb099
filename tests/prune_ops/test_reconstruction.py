"""reconstruct: against NumPy's ridge regression, what a layer does taken apart by weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import SMALL, conv_bn
from oracles import randomise
from torch import nn

import spaces
from prune_ops.batches import Batch
from prune_ops.surgery import reconstruct
from prune_ops.surgery.pruning import operate

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def every_position(monkeypatch):
    monkeypatch.setattr(reconstruct, "SAMPLES", 10_000)


def cut(model, selection, surgery="reconstruct", images=IMAGES):
    groups = spaces.discover(model, (images[:1],), round_to=1).groups
    selection = {name: np.asarray(keep) for name, keep in selection.items()}
    return operate(model, groups, selection, surgery, [(x, None) for x in images.split(4)])


def regressed(x, y, start):
    """Where the change from ``start`` is a ridge regression, Hoerl, Kennard and Baldwin's."""
    error = y - x @ start
    change = np.linalg.lstsq(x, error, rcond=None)[0]
    noise = np.square(error - x @ change).sum() / (len(x) - x.shape[1])
    ridge = x.shape[1] * noise / np.square(change).sum()
    return start + np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ error)


def design(layer, inputs):
    """(outputs, weights): the layer, linear in its weight, by one weight at a time."""
    columns = []
    silent = layer(torch.zeros_like(inputs))
    flat = layer.weight.detach().view(-1)
    before = flat.clone()
    for k in range(len(flat)):
        flat.zero_()
        flat[k] = 1
        columns.append((layer(inputs) - silent).flatten())
    flat.copy_(before)
    return torch.stack(columns, 1).detach().double().numpy()


READERS = {
    "plain": nn.Conv2d(4, 3, 3, padding=1),
    "strided": nn.Conv2d(4, 3, (3, 2), stride=(2, 1), padding=(0, 1), bias=False),
    "dilated": nn.Conv2d(4, 3, 2, dilation=2),
    "grouped": nn.Conv2d(4, 6, 3, groups=2),
    "transposed": nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1),
    "transposed grouped": nn.ConvTranspose2d(4, 4, 2, groups=2),
}


@pytest.mark.parametrize("name", READERS)
def test_the_new_weights_are_those_of_the_regression(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), READERS[name], nn.Flatten(1)).eval()
    keep = [1, 3]  # the second of each of two groups, or two of four
    selection = {"0": [1, 3] if "grouped" not in name else [1]}
    small = cut(model, selection)
    layer, reader = model[2], small[2]
    hidden = small[:2](IMAGES)
    assert hidden.shape[1] == len(keep)
    silent = layer(torch.zeros_like(model[:2](IMAGES)))
    outputs = (layer(model[:2](IMAGES)) - silent).detach().double().numpy()
    channel, target = np.indices(outputs.shape)[1].ravel(), outputs.ravel()
    x, size, groups = design(reader, hidden), reader.weight.numel(), reader.groups
    start = cut(model, selection, "plain")[2].weight.detach().double().flatten().numpy()
    got = reader.weight.detach().double().flatten().numpy()
    for group, own in enumerate(np.split(np.arange(size), groups)):
        rows = channel * groups // outputs.shape[1] == group
        wanted = regressed(x[rows][:, own], target[rows], start[own])
        np.testing.assert_allclose(got[own], wanted, rtol=1e-3, atol=1e-4)
    assert reader.bias is None or torch.equal(reader.bias, layer.bias)


def test_of_a_linear_layer_too_whose_own_outputs_are_pruned_as_well():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    model.eval()
    x = torch.randn(50, 5)
    small = cut(model, {"0": [0, 2, 5], "2": [1, 3]}, images=x)
    hidden = small[:2](x).detach().double().numpy()
    target = (model[:3](x) - model[2].bias)[:, [1, 3]].detach().double().numpy()
    plain = cut(model, {"0": [0, 2, 5], "2": [1, 3]}, "plain", x)
    wanted = regressed(hidden, target, plain[2].weight.detach().double().numpy().T)
    torch.testing.assert_close(
        small[2].weight.double(), torch.from_numpy(wanted.T), rtol=1e-3, atol=1e-4
    )
    # The next one reads what the reconstructed layer gives, not what the model's gave.
    hidden = small[:4](x).detach().double().numpy()
    target = (model(x) - model[4].bias).detach().double().numpy()
    wanted = regressed(hidden, target, plain[4].weight.detach().double().numpy().T)
    torch.testing.assert_close(
        small[4].weight.double(), torch.from_numpy(wanted.T), rtol=1e-3, atol=1e-4
    )


def test_a_channel_that_others_make_up_is_missed_by_nobody():
    torch.manual_seed(0)
    model = SMALL["Plain"]().eval()
    with torch.no_grad():
        model.a[0].weight[5] = model.a[0].weight[2]
    small = cut(model, {"a.0": np.delete(np.arange(16), 5)})
    torch.testing.assert_close(small(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        small.b[0].weight[:, 2], model.b[0].weight[:, [2, 5]].sum(1), rtol=1e-3, atol=1e-4
    )


def test_what_no_image_shows_stays():
    """Channel 2 is dead, so the images do not say what its weights should be."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    with torch.no_grad():
        model[0].bias[2] = -100
    small = cut(model, {"0": [0, 2, 3]}, images=torch.rand(40, 4))
    torch.testing.assert_close(small[2].weight[:, 1], model[2].weight[:, 2])
    assert (small[2].weight[:, 0] - model[2].weight[:, 0]).abs().max() > 0.01


class Block(nn.Module):
    """A residual block whose sum is written in one of the ways that are in use."""

    def __init__(self, add, norm):
        super().__init__()
        self.inner, self.back = conv_bn(6, 8), nn.Conv2d(8, 6, 1, bias=not norm)
        self.norm = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.add = add

    def sum(self, x):
        return self.add(x, self.norm(self.back(self.inner(x))))

    def forward(self, x):
        return F.relu(self.sum(x), inplace=True)


class TwoBlocks(nn.Module):
    """What the first block has lost, the second one's shortcut has lost."""

    def __init__(self, add, norm):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1)
        self.one, self.two = Block(add, norm), Block(add, norm)

    def forward(self, x):
        return self.head(self.two(self.one(self.stem(x)))).mean((2, 3))


def iadd(x, y):
    y += x
    return y


def under_another_name(x, y):
    """An addition that is not recognised."""
    return torch.stack([x, y]).sum(0)


def gated(x, y):
    """No shortcut: what is added to the branch depends on it."""
    return y + x * y.sigmoid()


ADDITIONS = {
    "x + y": lambda x, y: x + y,
    "y + x": lambda x, y: y + x,
    "y += x": iadd,
    "torch.add": torch.add,
    "x.add_(y)": lambda x, y: x.clone().add_(y),
    "x + dropped y": lambda x, y: x + F.dropout(y, 0.5, training=False),
}
LOST = {"one.inner.0": [0, 2, 3, 7], "two.inner.0": [1, 2, 4, 5]}


def two_blocks(add, norm):
    torch.manual_seed(0)
    model = TwoBlocks(add, norm).eval()
    randomise(model)
    return model


def listed(maps):
    """(n, C) float64 in NumPy."""
    return maps.movedim(1, -1).flatten(0, -2).detach().double().numpy()


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("add", ADDITIONS)
@torch.no_grad()
def test_a_branch_makes_up_for_what_the_shortcut_lost(add, norm):
    """Y₁ − Y₁′ + Y₂ is the target behind the BatchNorm, so its gain is taken off."""
    model = two_blocks(ADDITIONS[add], norm)
    small, plain = cut(model, LOST), cut(model, LOST, "plain")
    x, x_ = model.one(model.stem(IMAGES)), small.one(small.stem(IMAGES))
    branch, before = model.two, plain.two
    target = x - x_ + branch.norm(branch.back(branch.inner(x)))
    hidden = before.inner(x_)
    error = listed(target) - listed(before.norm(before.back(hidden)))
    if norm:
        error /= (branch.norm.weight / (branch.norm.running_var + 1e-5).sqrt()).double().numpy()
    change = regressed(listed(hidden), error, np.zeros((hidden.shape[1], 6)))
    got = (small.two.back.weight - before.back.weight)[..., 0, 0].double()
    torch.testing.assert_close(got, torch.from_numpy(change.T), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", [True, False])
@torch.no_grad()
def test_no_sum_is_further_from_the_models_than_plainly(norm):
    model = two_blocks(torch.add, norm)
    stream = {"stem": [0, 1, 4, 5]}
    small, plain = cut(model, LOST | stream), cut(model, LOST | stream, "plain")
    wanted = model.one.sum(model.stem(IMAGES))[:, stream["stem"]]
    errors = [(m.one.sum(m.stem(IMAGES)) - wanted).square().sum() for m in (small, plain)]
    assert errors[0] < 0.95 * errors[1]
    before = copy.deepcopy(small)
    before.two.back.weight.copy_(plain.two.back.weight)
    wanted = model.two.sum(model.one(model.stem(IMAGES)))[:, stream["stem"]]
    x = small.one(small.stem(IMAGES))
    errors = [(m.two.sum(x) - wanted).square().sum() for m in (small, before)]
    assert errors[0] < 0.95 * errors[1]


@pytest.mark.parametrize("add", [under_another_name, gated])
def test_where_no_shortcut_is_recognised_the_branch_alone_is_brought_back(add):
    model = two_blocks(add, True)
    small = cut(model, LOST)
    with torch.no_grad():
        x, x_ = model.one(model.stem(IMAGES)), small.one(small.stem(IMAGES))
        hidden = listed(small.two.inner(x_))
        target = listed(model.two.back(model.two.inner(x)))
        start = cut(model, LOST, "plain").two.back.weight[..., 0, 0].double().numpy().T
    wanted = regressed(hidden, target, start)
    got = small.two.back.weight[..., 0, 0].double()
    torch.testing.assert_close(got, torch.from_numpy(wanted.T), rtol=1e-3, atol=1e-4)


def test_a_branch_that_is_all_but_silent_stays_as_it_was_cut():
    model = two_blocks(torch.add, True)
    with torch.no_grad():
        model.one.norm.weight[3] = 1e-9
    small, plain = cut(model, LOST), cut(model, LOST, "plain")
    same = (small.one.back.weight == plain.one.back.weight).flatten(1).all(1)
    assert same.tolist() == [False, False, False, True, False, False]


def test_a_layer_used_twice_is_cut_plainly():
    torch.manual_seed(0)
    model = SMALL["Shared"]().eval()
    keep = {"stem.0": np.arange(7), "left": np.arange(5)}
    small, plain = cut(model, keep), cut(model, keep, "plain")
    assert torch.equal(small.twice[0].weight, plain.twice[0].weight)
    assert torch.equal(small.left.weight, plain.left.weight)
    assert not torch.equal(small.head.fc.weight, plain.head.fc.weight)


def test_a_branch_that_is_spread_over_the_sum_is_brought_back_alone():
    """Its rows would not be those of the sum."""

    class Context(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.inner, self.back = (nn.Conv2d(*io, 1) for io in ((3, 4), (4, 5), (5, 4)))

        def forward(self, x):
            x = self.a(x)
            y = self.back(self.inner(x.mean((2, 3), keepdim=True)).relu())
            return (x + y).mean((2, 3))

    torch.manual_seed(0)
    model, images = Context().eval(), torch.randn(40, 3, 8, 8)
    small = cut(model, {"inner": [0, 2, 4]}, images=images)
    with torch.no_grad():
        pooled = model.a(images).mean((2, 3), keepdim=True)
        hidden, target = small.inner(pooled).relu(), model.back(model.inner(pooled).relu())
        target = listed(target - small.back.bias[:, None, None])
    plain = cut(model, {"inner": [0, 2, 4]}, "plain", images)
    wanted = regressed(
        listed(hidden), target, plain.back.weight[..., 0, 0].detach().double().numpy().T
    )
    got = small.back.weight[..., 0, 0].detach().double().numpy().T
    np.testing.assert_allclose(listed(hidden) @ got, listed(hidden) @ wanted, rtol=0, atol=1e-5)


class Twins(nn.Module):
    """Both halves of its input pass as one batch, so an item is not an image."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 4, 1)

    def forward(self, x):
        both = self.b(self.a(torch.cat([x[..., :4], x[..., 4:]])).relu())
        return both.mean((2, 3)).view(2, len(x), -1).sum(0)


def test_items_that_are_not_images_are_compared_with_themselves():
    """In a batch of all images they lie in another order than in one batch after another."""
    torch.manual_seed(0)
    model = Twins().eval()
    groups = spaces.discover(model, (IMAGES[:1],), round_to=1).groups
    assert len(groups) == 1
    selection = {groups[0].name: np.array([0, 2, 5])}
    apart, whole = (
        operate(model, groups, selection, "reconstruct", [(x, None) for x in IMAGES.split(size)])
        for size in (2, 6)
    )
    torch.testing.assert_close(apart.b.weight, whole.b.weight, rtol=1e-4, atol=1e-5)


def test_what_is_measured_of_the_unpruned_network_holds_no_inputs():
    model = two_blocks(torch.add, True)
    groups = spaces.discover(model, (IMAGES[:1],), round_to=1).groups
    batches = [Batch(x, None) for x in IMAGES.split(3)]
    measured = reconstruct.Reconstruct().prepare(model, groups, batches).args[2]
    assert measured.keys() == {
        "one.inner.0.weight", "one.back.weight", "two.inner.0.weight", "two.back.weight",
        "head.weight",
    }  # fmt: skip
    for (target,) in measured.values():
        assert target.call.arguments.keys() == {"weight"}
        assert len(target.at) == len(target.rows) == 6 * 64
