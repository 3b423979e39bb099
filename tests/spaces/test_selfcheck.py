"""What is offered holds: at every width, in eval and in train mode, whatever hides it at first."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL, Stem
from oracles import random_selection
from torch import nn

import spaces
from spaces.groups import sublattice
from spaces.masked import MaskedReference, relative_error
from spaces.probe import NoDropout
from spaces.trace import trace, train_trace

IMAGE = torch.zeros(1, 3, 8, 8)


def offered(network):
    torch.manual_seed(0)
    space = spaces.discover(network(), IMAGE)
    return {g.name: g.choices for g in space.groups}, {f.name: f.reason for f in space.frozen}


class Halves(Stem):
    """Halves counted from the shape: they are halves of the cut tensor, not of the whole one."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        x = self.a(x)
        half = x.shape[1] // 2
        return self.head(self.b(torch.cat([self.left(x[:, :half]), self.right(x[:, half:])], 1)))


def test_groups_that_survive_only_in_step_are_one():
    torch.manual_seed(0)
    space = spaces.discover(Halves(), IMAGE)
    groups = {g.name: g for g in space.groups}
    assert {g.name: g.channels for g in space.groups} == {
        **{"a": 8, "left": 8, "right": 8, "b": 16, "c": 8}
    }
    assert groups["a"].bundled == ("a", "a/2")
    filters = next(m for m in groups["a"].members if m.parameter == "a.weight")
    assert filters.index.tolist() == [[c, c + 8] for c in range(8)]


class TwoAveraged(nn.Module):
    """A mean over two channels, in dimension 2: its dims look like a normalized_shape of two."""

    def __init__(self):
        super().__init__()
        self.a, self.head = nn.Conv2d(3, 2, 3, padding=1), nn.Linear(64, 4)

    def forward(self, x):
        return self.head(self.a(x).flatten(2).transpose(1, 2).mean([2]))


def test_a_mean_over_two_channels_may_be_over_one():
    assert offered(TwoAveraged)[0] == {"a": (1, 2)}


class Unequal(Stem):
    """A reshape to another tensor's channels: 16 and 8 of them must keep to two to one."""

    def __init__(self):
        super().__init__()
        self.d, self.e = nn.Linear(16, 32), nn.Linear(16, 4)

    def forward(self, x):
        x = self.b(self.a(x)).mean((2, 3))
        wide = self.d(x)
        return self.e(wide.reshape(2 * len(x), x.shape[1])).reshape(len(x), -1)


def test_one_group_may_have_several_channels_for_each_of_another():
    torch.manual_seed(0)
    space = spaces.discover(Unequal(), IMAGE)
    for policy in (space.uniform(0.6), space.policy(space.lattice.low)):
        keep = {name: np.arange(width) for name, width in policy.items()}
        small = spaces.slice_model(Unequal(), space, keep)
        assert small(IMAGE).shape == (1, 8)


class OnOnePosition(Stem):
    """GroupNorm refuses one value a group: two channels of each group must stay."""

    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(2, 16)

    def forward(self, x):
        return self.head(self.norm(self.b(self.a(x).mean((2, 3), keepdim=True))))


def test_a_group_keeps_the_widths_that_it_survives():
    choices, _ = offered(OnOnePosition)
    assert choices == {"a": (2, 4, 6, 8, 10, 12, 14, 16), "b": (2, 3, 4, 5, 6, 7, 8), "c": tuple(
        range(1, 9)
    )}  # fmt: skip


class InFours(Stem):
    """The middle is cut in four equal parts, whose number is fixed in the code."""

    def forward(self, x):
        x = self.b(self.a(x))
        quarter = torch.empty(4, x.shape[1] // 4).shape[1]
        return self.head(x * x[:, : 4 * quarter].reshape(len(x), -1, 8, 8))


def test_evenly_spaced_widths_that_pass_are_kept():
    choices, _ = offered(InFours)
    assert choices["b"] == (4, 8, 12, 16)


@pytest.mark.parametrize(
    ("choices", "passing", "kept"),
    [
        ((2, 4, 6, 8), [2, 4, 6], (2, 4, 6, 8)),
        ((2, 4, 6, 8), [4, 6], (4, 6, 8)),
        ((2, 4, 6, 8, 10, 12), [2, 6, 10], (2, 6, 10, 12)),
        ((8, 16, 20), [16], (16, 20)),
        ((8, 16), [], None),
    ],
)
def test_sublattices(choices, passing, kept):
    assert sublattice(choices, passing) == kept


class ShortcutIfItFits(nn.Module):
    """Adds its input where the sizes happen to agree, as they do at width 16 only."""

    def __init__(self):
        super().__init__()
        self.up, self.fc = nn.Linear(16, 128), nn.Linear(128, 4)

    def forward(self, x):
        y = self.up(x).relu()
        return self.fc(x + y if x.shape == y.shape else y)


def test_a_width_at_which_the_code_does_something_else_is_not_offered():
    torch.manual_seed(0)
    space = spaces.discover(ShortcutIfItFits(), torch.zeros(1, 16))
    assert space.groups[0].choices == tuple(range(24, 136, 8))


class ShortcutsIfTheyFit(nn.Module):
    """Adds a layer's input where it is as wide, which no two layers are at first."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(10, 100), nn.Linear(100, 50)])
        self.fc = nn.Linear(50, 4)

    def forward(self, x):
        for layer in self.layers:
            y = layer(x).relu()
            x = x + y if layer.in_features == layer.out_features else y
        return self.fc(x)


def test_widths_that_may_not_be_equal_are_not_both_offered():
    torch.manual_seed(0)
    space = spaces.discover(ShortcutsIfTheyFit(), torch.zeros(1, 10))
    assert [g.channels for g in space.groups] in ([100], [50])


def test_reasons_of_the_check_name_the_line():
    torch.manual_seed(0)
    space = spaces.discover(SMALL["Literal"](), IMAGE)
    reason = {f.name: f.reason for f in space.frozen}["b.0"]
    assert reason.startswith("breaks when cut (shape '[-1, 1024]' is invalid for input of size ")
    assert "networks.py:" in reason


@pytest.fixture(scope="module")
def proven():
    """Name → network, space, eval-mode and train-mode graphs."""
    found = {}
    for name, network in SMALL.items():
        torch.manual_seed(0)
        model = network()
        space = spaces.discover(model, IMAGE)
        if name == "Stacked":
            model.gru.dropout = 0.0  # what it draws between its layers depends on the widths
        noise = torch.randn(2, 3, 8, 8)
        traced = trace(model, (noise,))
        found[name] = model, space, traced, train_trace(model, (noise,), traced)
    return found


@settings(max_examples=60)
@given(name=st.sampled_from(sorted(SMALL)), seed=st.integers(0, 2**32 - 1), low=st.booleans())
def test_every_policy_runs_forward_and_backward_and_is_the_masked_network(proven, name, seed, low):
    model, space, traced, training = proven[name]
    rng = np.random.default_rng(seed)
    selection = random_selection(space, rng)[1]
    if low:
        selection = {g.name: np.sort(rng.permutation(g.channels)[: g.choices[0]])
                     for g in space.groups}  # fmt: skip
    small, noise = spaces.slice_model(model, space, selection), torch.randn(2, 3, 8, 8)
    before = copy.deepcopy(small.state_dict())
    with torch.no_grad():
        got = small.eval()(noise)
    assert relative_error(got, MaskedReference(traced, space.groups, selection)(noise)) < 1e-4
    with NoDropout():
        out = small.train()(noise)
    wanted = MaskedReference(training, space.groups, selection)(noise)
    assert relative_error(out, wanted) < 1e-3
    sum(x.sum() for x in spaces.inputs.tensors(out)).backward()
    used = [p for p in small.parameters() if p.requires_grad and p.grad is not None]
    assert len(used) == len(list(small.parameters()))
    assert before.keys() == small.state_dict().keys()
