"""The optimal brain surgeon: repaired weights, orders and damages against plain least squares."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tape import Waits
from torch import nn

import prune_ops
import spaces
from prune_ops import moments
from prune_ops.collecting import collect
from prune_ops.collectors import readers
from prune_ops.compensation import compensated
from prune_ops.contributions import Layer
from prune_ops.contributions import reads as find_reads
from prune_ops.sensitivities import repaired_damage
from prune_ops.sensitivities.sensitivity import measured_widths
from prune_ops.surgeon import REQUIRES, removal


@pytest.fixture(autouse=True)
def no_ridge(monkeypatch):
    monkeypatch.setattr(moments, "RIDGE", 1e-10)


def squared_error(outputs, targets):
    """Some loss that is not cross-entropy: directions of the outputs are ±1."""
    return (outputs.flatten() - targets).square().mean()


class Regression(nn.Sequential):
    """One hidden layer of 8, twice the same channel in it, and one output."""

    def __init__(self, channels=8, bias=True):
        torch.manual_seed(0)
        super().__init__(nn.Linear(5, channels), nn.ReLU(), nn.Linear(channels, 1, bias=bias))
        with torch.no_grad():
            self[0].weight[3], self[0].bias[3] = self[0].weight[1], self[0].bias[1]


def images(count=60, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 5, generator=generator)
    return [(x[:40], torch.zeros(40)), (x[40:], torch.zeros(count - 40))]


def known(model, batches, loss=squared_error):
    space = spaces.discover(model, (torch.zeros(1, 5),), round_to=1)
    return space, collect(model, space, batches, REQUIRES, loss)[0]


def residual(hidden, weights, keep, bias):
    """Half the mean squared error of the best weights on the channels kept."""
    target = hidden @ weights
    columns = hidden[:, keep]
    if bias:
        columns = np.hstack([columns, np.ones((len(hidden), 1))])
    fitted = np.linalg.lstsq(columns, target, rcond=None)[0]
    return np.square(target - columns @ fitted).mean() / 2


@pytest.mark.parametrize("bias", [True, False])
def test_each_removal_costs_the_least_and_what_least_squares_cannot_give_back(bias):
    model, batches = Regression(bias=bias), images()
    space, stats = known(model, batches)
    found = removal(space.groups[0], stats)
    with torch.no_grad():
        hidden = model[1](model[0](torch.cat([x for x, _ in batches]))).double().numpy()
    weights = model[2].weight.detach().double().numpy().T
    keep = list(range(8))
    for step, channel in enumerate(found.order[:-1]):
        trials = {c: residual(hidden, weights, [k for k in keep if k != c], bias) for c in keep}
        assert trials[channel] == pytest.approx(min(trials.values()), rel=1e-4, abs=1e-8)
        keep.remove(channel)
        assert found.rises[: step + 1].sum() == pytest.approx(trials[channel], rel=1e-4, abs=1e-8)
    assert found.order[0] in (1, 3)  # one of the twins costs nothing
    assert found.rises[0] == pytest.approx(0, abs=1e-6)
    assert list(np.argsort(found.scores.numpy())) == list(found.order)
    assert len(set(found.scores.tolist())) == 8


def test_the_table_is_what_least_squares_cannot_give_back_for_any_order():
    model, batches = Regression(), images()
    space, stats = known(model, batches)
    scores = {space.groups[0].name: torch.tensor([3.0, 5, 1, 0, 7, 2, 6, 4])}
    tables = prune_ops.measure(
        model, space, scores, batches, ["repaired_damage"], loss=squared_error, stats=stats
    )
    with torch.no_grad():
        hidden = model[1](model[0](torch.cat([x for x, _ in batches]))).double().numpy()
    weights = model[2].weight.detach().double().numpy().T
    best_first = [4, 6, 1, 7, 0, 5, 2, 3]
    wanted = [residual(hidden, weights, best_first[:width], True) for width in range(1, 8)]
    np.testing.assert_allclose(tables["repaired_damage"]["0"], wanted, rtol=1e-4, atol=1e-7)


LAYERS = {
    "plain": (lambda: nn.Conv2d(6, 4, 3, padding=1), (6, 5, 5)),
    "strided": (lambda: nn.Conv2d(6, 4, 3, stride=2, bias=False), (6, 6, 6)),
    "grouped": (lambda: nn.Conv2d(6, 4, 2, groups=2, bias=False), (6, 4, 4)),
    "one": (lambda: nn.Conv1d(6, 4, 3, dilation=2, bias=False), (6, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 4, 2, stride=2, bias=False), (6, 3, 3)),
    "linear": (lambda: nn.Linear(6, 4, bias=False), (6,)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_no_other_weights_come_closer_to_the_outputs(kind, make_groups, monkeypatch):
    """The gradient of the squared error by the remaining weights is zero."""
    monkeypatch.setattr(readers, "POSITIONS", 100)
    torch.manual_seed(0)
    make, shape = LAYERS[kind]
    model = nn.Sequential(make())
    dim = 0 if kind == "transposed" else 1
    channels = 3 if kind == "grouped" else 6
    space = make_groups(("g", channels, ("0.weight", dim, "in")))
    x = torch.randn(32, *shape)
    stats = collect(model, space, [(x, torch.zeros(32))], frozenset({"inputs"}))[0]
    weight = model[0].weight
    slices = find_reads(space.groups, {"0.weight": weight})[weight]
    worth = torch.ones(2, 4, dtype=torch.float64)
    if len(stats.inputs["0.weight"].between[0]) > 1 and shape[1:]:
        assert stats.inputs["0.weight"].positions == 32 * model(x)[0, 0].numel()
    else:
        worth[0] = 0  # one position: nothing varies within an image
    found, _ = compensated(
        weight.detach(), slices, stats.inputs["0.weight"], worth, {"g": np.array([0, 2])}
    )
    gone = [c for c in range(channels) if c not in (0, 2)]
    assert not found.index_select(dim, torch.tensor(gone)).any()
    mine = found.double().requires_grad_()
    double = model.double()
    wanted = double(x.double()).detach()
    with torch.no_grad():
        double[0].weight.copy_(mine)
    bias = double[0].bias
    outputs = torch.func.functional_call(double, {"0.weight": mine}, (x.double(),))
    error = outputs - wanted
    if bias is not None:  # which takes up the mean
        error = error - error.mean((0, 2, 3), keepdim=True)
    slope = torch.autograd.grad(error.square().mean(), mine)[0]
    kept = slope.index_select(dim, torch.tensor([0, 2]))
    assert kept.abs().max() < 1e-5 * slope.abs().max()


def test_a_bias_or_a_batch_norm_takes_up_the_mean():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Conv2d(3, 6, 1, bias=False), nn.BatchNorm2d(6)
            self.second, self.after = nn.Conv2d(6, 6, 3, bias=False), nn.BatchNorm2d(6)
            self.third, self.head = nn.Conv2d(6, 6, 1, bias=False), nn.Linear(6, 4)

        def forward(self, x):
            x = self.after(self.second(self.norm(self.first(x)).relu())).relu()
            return self.head(self.third(x).relu().mean((2, 3)))

    torch.manual_seed(0)
    model = Both().eval()
    space = spaces.discover(model, (torch.zeros(1, 3, 6, 6),), round_to=1)
    batches = [(torch.randn(9, 3, 6, 6), torch.zeros(9, dtype=torch.long))]
    stats = collect(model, space, batches, frozenset({"inputs"}))[0]
    assert {name: found.mean_at for name, found in stats.inputs.items()} == {
        "second.weight": "after.running_mean",
        "third.weight": "",
        "head.weight": "head.bias",
    }


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(3, 7), kernel=st.integers(1, 3), stride=st.integers(1, 3),
    padding=st.integers(0, 2), dilation=st.integers(1, 2), groups=st.sampled_from([1, 2]),
)  # fmt: skip
def test_the_mean_under_the_kernel_is_that_over_all_positions(
    size, kernel, stride, padding, dilation, groups
):
    reach = dilation * (kernel - 1) + 1
    if size + 2 * padding < reach:
        return
    x = torch.randn(2, 4, size, size + 1)
    weight = torch.randn(4, 4 // groups, kernel, kernel)
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    outputs = F.conv2d(x, weight, None, groups=groups, **options)
    pair = {name: (value, value) for name, value in options.items()}
    layer = Layer(x, weight, 4, tuple(outputs.shape[2:]), groups=groups, **pair)
    wanted = F.unfold(x, (kernel, kernel), **options).mean(2)
    found = readers._means(layer).transpose(0, 1).flatten(1)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_a_layer_that_reads_too_much_scales_whole_channels(monkeypatch):
    """Then a channel has one factor, which is the best one."""
    monkeypatch.setattr(readers, "LARGEST", 0)
    model, batches = Regression(bias=False), images(400)
    space, stats = known(model, batches)
    found = stats.inputs["2.weight"]
    assert found.within is None
    assert list(found.contributions) == ["0"]
    weight = model[2].weight.detach()
    slices = [(space.groups[0], space.groups[0].members[-1])]
    keep = np.array([0, 2, 4])
    new, _ = compensated(weight, slices, found, stats.output_fisher["2.weight"], {"0": keep})
    with torch.no_grad():
        hidden = model[1](model[0](torch.cat([x for x, _ in batches]))).double().numpy()
    parts = hidden * weight.double().numpy()
    factors = np.linalg.lstsq(parts[:, keep], parts.sum(1), rcond=None)[0]
    wanted = np.zeros(8)
    wanted[keep] = factors * weight[0, keep].double().numpy()
    np.testing.assert_allclose(new[0].numpy(), wanted, rtol=0.2, atol=0.02)  # outputs are sampled
    damages = prune_ops.measure(
        model, space, prune_ops.score(model, space, (), ["obs"], stats=stats)["obs"], batches,
        ["repaired_damage"], loss=squared_error, stats=stats,
    )["repaired_damage"]["0"]  # fmt: skip
    assert (np.diff(damages.numpy()) <= 0).all()
    assert damages[0] > 0


class Product(nn.Module):
    """Two groups that meet in a product and that no layer reads."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(5, 6), nn.Linear(5, 6)

    def forward(self, x):
        return (self.left(x) * self.right(x)).sum(1, keepdim=True)


def test_a_group_that_no_layer_reads_loses_what_its_weights_gave():
    torch.manual_seed(0)
    model, batches = Product(), images()
    space, stats = known(model, batches)
    (group,) = space.groups
    table = prune_ops.measure(
        model, space, {group.name: -torch.arange(6.0)}, batches, ["repaired_damage"],
        loss=squared_error, stats=stats,
    )["repaired_damage"][group.name]  # fmt: skip
    x = torch.cat([x for x, _ in batches])
    with torch.no_grad():
        products = (model.left(x) * model.right(x)).double()
    # Each factor of the product is a first-order change of its own: the sum moves twice as far.
    wanted = [(2 * products[:, width:].sum(1)).square().mean() / 2 for width in range(1, 6)]
    torch.testing.assert_close(table, torch.stack(wanted), rtol=1e-4, atol=1e-6)


def test_widths_in_between_follow_the_foreseen_damages():
    group = spaces.groups.ChannelGroup("g", 20, (), tuple(range(1, 21)))
    measured = measured_widths(group)
    foreseen = np.linspace(1, 0, 20) ** 2
    exact = 3 * foreseen[[width - 1 for width in measured]]
    filled = repaired_damage._filled_in(group, foreseen, exact)
    np.testing.assert_allclose(filled, 3 * foreseen[:-1])


def test_images_are_passed_several_times_where_all_changes_do_not_fit(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(*itertools.chain(*((nn.Linear(6, 6), nn.Tanh()) for _ in range(4))))
    space = spaces.discover(model, (torch.zeros(1, 6),), round_to=1)
    batches = [(torch.randn(30, 6), torch.zeros(30, dtype=torch.long))]
    stats = prune_ops.statistics(model, space, batches, ["repaired_damage"])
    scores = prune_ops.score(model, space, (), ["l1"])["l1"]

    def table():
        found = prune_ops.measure(model, space, scores, (), ["repaired_damage"], stats=stats)
        return found["repaired_damage"]

    whole = table()
    monkeypatch.setattr(repaired_damage, "AT_ONCE", 1)
    assert len(list(repaired_damage._at_once(space, stats))) == len(space.groups)
    parts = table()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_device_is_not_waited_for_channel_by_channel():
    counts = []
    for channels in (8, 12):
        space, stats = known(Regression(channels), images())
        (group,) = space.groups
        for order in (None, range(channels)):
            with Waits() as waits:
                removal(group, stats, order)
            counts.append(waits.count)
    assert counts == [counts[0]] * 4
