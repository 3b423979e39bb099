"""What is offered holds: at every width, in eval and in train mode, whatever hides it at first."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL
from oracles import random_selection
from torch import nn

import spaces
from spaces.groups import sublattice
from spaces.masked import MaskedReference, relative_error
from spaces.probe import NoDropout, tolerance
from spaces.trace import trace, train_trace

IMAGE = torch.zeros(1, 3, 8, 8)


class Stem(nn.Module):
    """Layers ``a`` and ``b`` of 16 channels, ``c`` of 8 and a classifier; to be put together."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.c, self.fc = nn.Conv2d(16, 8, 3, padding=1), nn.Linear(8, 4)

    def head(self, x):
        return self.fc(self.c(x.relu()).relu().mean((2, 3)))


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


class ZeroInitialised(Stem):
    """A literal slice behind a layer that is zero as it is initialised, and not when trained."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.b.weight)
        nn.init.zeros_(self.b.bias)

    def forward(self, x):
        x = self.b(self.a(x))
        return self.head(x) + x[:, :8].mean((1, 2, 3))[:, None]


class BehindASmallScale(Stem):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((1,), 1e-6))

    def forward(self, x):
        x = self.b(self.a(x))
        return self.head(x) + self.gamma * x[:, :8].mean((1, 2, 3))[:, None]


class BesideALargeOutput(Stem):
    def forward(self, x):
        x = self.b(self.a(x))
        return 1e9 * self.head(x), {"small": x[:, :8].mean((1, 2, 3))}


class BesideABias(Stem):
    """Of the output a hundredth depends on the input."""

    def __init__(self):
        super().__init__()
        nn.init.constant_(self.fc.bias, 10.0)

    def forward(self, x):
        x = self.b(self.a(x))
        return self.head(x * x[:, :8].mean((1, 2, 3), keepdim=True).exp())


class InTraining(Stem):
    def forward(self, x):
        x = self.b(self.a(x))
        return self.head(x * x[:, :4].mean((1, 2, 3), keepdim=True) if self.training else x)


class InTrainingBehindNorm(Stem):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        x = self.norm(self.b(self.a(x)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.head(x * x[:, :4].mean((1, 2, 3), keepdim=True) if self.training else x)


@pytest.mark.parametrize(
    "network",
    [
        *(ZeroInitialised, BehindASmallScale, BesideALargeOutput, BesideABias),
        *(InTraining, InTrainingBehindNorm),
    ],
)
def test_a_literal_slice_is_seen_whatever_hides_it(network):
    choices, frozen = offered(network)
    assert choices.keys() == {"a", "c"}
    assert frozen["b"].startswith("computes something else ")
    assert ("in training" in frozen["b"]) == network.__name__.startswith("InTraining")


class Noisy(Stem):
    """Dropout in eval mode, DropPath and dropout in training: random, and none of it a size."""

    def forward(self, x):
        x = self.a(x)
        y = F.dropout2d(F.dropout(self.b(x), 0.5, training=True), 0.2, self.training)
        if self.training:
            y = y * y.new_empty(len(y), 1, 1, 1).bernoulli_(0.5)
        return self.head(x + y * torch.rand(()))


def test_chance_is_no_reason_to_freeze():
    choices, frozen = offered(Noisy)
    assert choices.keys() == {"a", "c"}
    assert frozen == {"fc": "network output"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_rounding_is_no_reason_to_freeze(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(*(SMALL["Residual"](), nn.Flatten())).to(dtype)
    space = spaces.discover(net, IMAGE.to(dtype))
    assert [g.channels for g in space.groups] == [16, 16]


class CastInside(Stem):
    """Half precision that the code asks for."""

    def __init__(self):
        super().__init__()
        self.b.to(torch.bfloat16)

    def forward(self, x):
        return self.head(self.b(self.a(x).bfloat16()).float())


def test_types_fixed_in_the_code_are_judged_by_their_own_rounding():
    choices, _ = offered(CastInside)
    assert choices.keys() == {"a", "b", "c"}
    assert tolerance([torch.float32]) < tolerance([torch.float32, torch.bfloat16])


class Auxiliary(Stem):
    """A head that only training uses; ``pool`` is the least size that it takes."""

    def __init__(self, pool):
        super().__init__()
        self.aux = nn.Sequential(nn.AvgPool2d(pool), nn.Flatten(), nn.Linear(16, 4))

    def forward(self, x):
        x = self.b(self.a(x))
        return (self.head(x), self.aux(x)) if self.training else self.head(x)


def test_a_head_that_only_training_uses_is_cut_with_what_it_reads():
    torch.manual_seed(0)
    net = Auxiliary(8)
    space = spaces.discover(net, IMAGE)
    small = spaces.slice_model(net, space, {"b": np.arange(4)}).train()
    assert small.aux[2].in_features == 4
    assert small(torch.zeros(2, 3, 8, 8))[1].shape == (2, 4)


def test_a_head_that_does_not_run_on_the_example_is_refused_by_name():
    with pytest.raises(
        spaces.ModelError, match=r"only training uses .* but aux.2 does not"
    ) as told:
        spaces.discover(Auxiliary(16), IMAGE)
    assert "\n" not in str(told.value)
    assert "give larger example inputs" in str(told.value)


def test_a_head_that_cannot_be_traced_is_frozen_by_name():
    class Branches(Auxiliary):
        def forward(self, x):
            out = super().forward(x)
            if self.training and out[1].sum() > 1e9:
                return out[0]
            return out

    torch.manual_seed(0)
    space = spaces.discover(Branches(8), IMAGE)
    frozen = {f.name: (f.channels, f.reason) for f in space.frozen}
    assert frozen["aux.2"][0] == 4
    assert "the train-mode graph cannot be traced (" in frozen["aux.2"][1]
    assert "cannot be trained when cut" in frozen["b"][1]
    assert {g.name for g in space.groups} == {"a", "c"}


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
