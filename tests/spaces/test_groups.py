"""Which channels are one group, worked out by hand for each way of coupling them."""

import numpy as np
import pytest
import torch
from networks import SMALL, Literal, PadShortcut, Plain, SelfAttention

import spaces
from spaces.groups import find_groups, lattice
from spaces.trace import trace

OUTPUT = "network output"


@pytest.fixture(scope="module")
def discovered():
    cache = {}

    def get(name):
        if name not in cache:
            torch.manual_seed(0)
            cache[name] = spaces.discover(SMALL[name](), (torch.zeros(1, 3, 8, 8),))
        return cache[name]

    return get


GROUPS = {
    "Plain": {"a.0": 16, "b.0": 32},
    "Residual": {"stem.0": 16, "conv1.0": 16},
    "PadShortcut": {"stem.0": 16},
    "Grouped": {"a.0": 8, "b.0": 16},
    "Depthwise": {"a.0": 16, "point": 24},
    "Separable": {"a.0": 16, "c.0": 24},
    "Transposed": {"a.0": 16, "up": 8, "grouped": 4},
    "Concat": {"a.0": 16, "b.0": 24, "fc1": 32},
    "Shuffle": {"a.0": 16, "conv.0": 16},
    "ChannelShuffle": {"a.0": 16, "b.0": 16},
    "ChunkGate": {"a.0": 16, "c.0": 16},
    "SqueezeExcite": {"a.0": 32, "fc1": 16},
    "ScaleNorm": {"stem": 8, "up": 64},
    "Literal": {"a.0": 16, "fc1": 32},
    "LiteralSplit": {"b.0": 16},
    "Recurrent": {"a.0": 16, "b.0": 16, "lstm": 12},
    "Stacked": {"a.0": 16, "gru": 12, "first": 16},
    "Parametrized": {"b.0": 16},
    "SelfAttention": {"up": 64},
    "Heads": {"patch": 24, "q": 4},
    "HeadDims": {"patch": 24, "q": 8, "v": 8},
    "GroupedHeads": {"patch": 24, "q": 2},
    "Shared": {"stem.0": 16, "left": 16},
    "TrainOnly": {"a.0": 16, "b.0": 32},
    "Everything": {"a": 16, "b": 16},
}


@pytest.mark.parametrize("name", SMALL)
def test_groups_and_their_channels(name, discovered):
    assert {g.name: g.channels for g in discovered(name).groups} == GROUPS[name]


@pytest.mark.parametrize(
    ("name", "module", "channels", "reason"),
    [
        ("PadShortcut", "conv.0", 16, "zeros of a pad"),
        ("Literal", "b.0", 16, "breaks when cut"),
        ("LiteralSplit", "a.0", 31, "computes something else when cut"),
        ("Stacked", "second", 24, "enters bilinear"),
        ("Stacked", "pairs", 6, "stays whole"),
        ("Parametrized", "a.0", 16, "weight is computed"),
        ("Parametrized", "normed", 32, "weight is computed"),
        ("SelfAttention", "attention", 8, "breaks when cut"),
        ("SelfAttention", "patch", 32, "breaks when cut"),
    ],
)
def test_what_must_stay_says_why(name, module, channels, reason, discovered):
    found = {f.name: f for f in discovered(name).frozen if reason in f.reason}
    assert found[module].channels == channels


def test_every_network_freezes_its_output(discovered):
    for name in SMALL:
        outputs = [f for f in discovered(name).frozen if f.reason == OUTPUT]
        assert sum(f.channels for f in outputs) == (20 if name == "TrainOnly" else 10)


def test_members_of_the_residual_group(discovered):
    group = discovered("Residual").groups[0]
    places = {(m.parameter, m.dim, m.kind) for m in group.members}
    assert places == {
        ("stem.0.weight", 0, "out"),
        ("stem.1.weight", 0, "norm"),
        ("stem.1.bias", 0, "norm"),
        ("stem.1.running_mean", 0, "norm"),
        ("stem.1.running_var", 0, "norm"),
        ("conv1.0.weight", 1, "in"),
        ("conv2.weight", 0, "out"),
        ("conv2.bias", 0, "out"),
        ("head.fc.weight", 1, "in"),
    }


def test_flattened_channels_own_all_their_positions(discovered):
    group = discovered("Concat").groups[1]
    member = next(m for m in group.members if m.parameter == "fc1.weight")
    assert member.index.shape == (24, 16)
    assert member.index[0].tolist() == list(range(16 * 16, 17 * 16))


def test_padded_shortcut_couples_the_middle_channels(discovered):
    member = next(
        m
        for m in discovered("PadShortcut").groups[0].members
        if m.parameter == "conv.0.weight" and m.dim == 0
    )
    assert member.index.ravel().tolist() == list(range(8, 24))


def test_train_only_head_is_part_of_the_group():
    space = spaces.discover(SMALL["TrainOnly"](), (torch.zeros(1, 3, 8, 8),))
    assert "aux.fc.weight" in {m.parameter for m in space.groups[0].members}


@pytest.mark.parametrize(
    ("channels", "round_to", "widths"),
    [
        (16, None, (2, 4, 6, 8, 10, 12, 14, 16)),
        (10, None, tuple(range(1, 11))),
        (58, None, (*range(4, 57, 4), 58)),
        (64, None, tuple(range(8, 65, 8))),
        (16, 8, (8, 16)),
        (12, 8, (8, 12)),
        (4, 8, (4,)),
    ],
)
def test_lattice(channels, round_to, widths):
    assert lattice(channels, round_to) == widths


def test_round_to_freezes_groups_without_a_choice():
    space = spaces.discover(Plain(), (torch.zeros(1, 3, 8, 8),), round_to=16)
    assert [g.name for g in space.groups] == ["b.0"]
    assert "no choice on a lattice of 16" in {f.name: f.reason for f in space.frozen}["a.0"]


def test_discover_leaves_the_model_as_it_was():
    torch.manual_seed(0)
    model = Literal().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    random_state = torch.get_rng_state()
    spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    assert all(v.equal(before[k]) for k, v in model.state_dict().items())
    assert all(m.training for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert torch.get_rng_state().equal(random_state)


def test_discover_twice_gives_the_same_space():
    torch.manual_seed(0)
    model = PadShortcut()
    first, second = (spaces.discover(model, (torch.zeros(1, 3, 8, 8),)) for _ in range(2))
    assert [g.name for g in first.groups] == [g.name for g in second.groups]
    assert all(
        np.array_equal(a.index, b.index)
        for g, h in zip(first.groups, second.groups, strict=True)
        for a, b in zip(g.members, h.members, strict=True)
    )


class Region(torch.nn.Module):
    """Two layers with something in between, and a LayerNorm after it."""

    def __init__(self, between):
        super().__init__()
        self.a, self.b, self.c = (torch.nn.Linear(*io) for io in ((6, 16), (16, 24), (24, 10)))
        self.norm = torch.nn.LayerNorm(24)
        self.between = between

    def forward(self, x):
        return self.c(self.between(self, self.a(x).relu()))


def without_gradients(model, x):
    with torch.no_grad():
        x.mul_(2)
        with torch.enable_grad():
            y = model.b(x)
        return model.norm(y).relu()


def test_layers_without_gradients_are_like_any_other():
    """The LayerNorm's statistic is over what stays: only so does the cut agree with the mask."""
    torch.manual_seed(0)
    model, x = Region(without_gradients), torch.randn(2, 6)
    space = spaces.discover(model, (x,))
    assert {g.name: g.channels for g in space.groups} == {"a": 16, "b": 24}
    assert {f.name: f.reason for f in space.frozen} == {"c": OUTPUT}
    assert space.full_flops == 6 * 16 + 16 * 24 + 24 * 10
    small = spaces.slice_model(model, space, {"a": np.arange(4), "b": np.arange(8)})
    hidden = model.a(x).relu()[:, :4] * 2 @ model.b.weight[:8, :4].T + model.b.bias[:8]
    hidden = torch.nn.functional.layer_norm(hidden, (8,), *(p[:8] for p in model.norm.parameters()))
    wanted = hidden.relu() @ model.c.weight[:, :8].T + model.c.bias
    torch.testing.assert_close(small(x), wanted)


def rounded(model, x):
    b = model.b(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (b @ (b.T @ b)).float()


def branched(model, x):
    return torch.cond(x.sum() > 0, lambda b: b.relu(), lambda b: b.abs(), (model.b(x),))


def rounded_without_gradients(model, x):
    with torch.no_grad():
        return rounded(model, x)


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (rounded, "enters a product of activations (matmul at test_groups.py:"),
        (branched, "enters an operation without a rule (cond"),
        (rounded_without_gradients, "enters a product of activations (matmul at test_groups.py:"),
    ],
)
def test_a_reason_names_the_operation_within_a_region_and_the_line(between, reason):
    torch.manual_seed(0)
    traced = trace(Region(between), (torch.randn(2, 6),))
    groups, frozen = find_groups(traced, None)
    assert [g.name for g in groups] == ["a"]
    assert {f.name: f.reason for f in frozen}["b"].startswith(reason)


def test_one_input_needs_no_tuple():
    torch.manual_seed(0)
    model, x = Plain(), torch.zeros(2, 3, 8, 8)
    assert spaces.discover(model, x).full_flops == spaces.discover(model, (x,)).full_flops


def test_a_model_that_cannot_be_traced_is_one_line():
    class Branch(torch.nn.Module):
        def forward(self, x):
            return x + 1 if x.sum() > 0 else x

    with pytest.raises(spaces.ModelError, match="must run on one example input") as caught:
        spaces.discover(Branch(), (torch.zeros(1, 3),))
    assert "\n" not in str(caught.value)


def test_a_model_with_nothing_to_prune_says_why():
    with pytest.raises(spaces.NothingToPruneError, match="network output"):
        spaces.discover(torch.nn.Linear(3, 10), (torch.zeros(1, 3),))


def test_recurrent_layers_are_counted_by_hand():
    torch.manual_seed(0)
    model, inputs = SMALL["Recurrent"]().eval(), (torch.zeros(1, 3, 8, 8),)
    gates, steps = 4 * 12, 8 * 8
    lstm = steps * gates * (16 + 12)  # fvcore does not count recurrent layers
    expected = spaces.fvcore_flops(model, inputs) + lstm
    assert spaces.discover(model, inputs).full_flops == expected


def test_outputs_that_a_hook_keeps_are_no_obstacle():
    torch.manual_seed(0)
    model, inputs = Plain(), (torch.randn(1, 3, 8, 8),)
    model.a.register_forward_hook(lambda module, _, out: setattr(module, "kept", out))
    model(*inputs)
    space = spaces.discover(model, inputs)
    small = spaces.slice_model(model, space, {"a.0": np.arange(4)})
    assert small(*inputs).shape == (1, 10)


def test_weights_that_are_nan_are_named():
    model = Plain()
    model.a[0].weight.data.fill_(float("nan"))
    with pytest.raises(spaces.ModelError, match="nan; check its weights"):
        spaces.discover(model, (torch.zeros(1, 3, 8, 8),))


def test_attention_is_counted_by_hand():
    torch.manual_seed(0)
    model, inputs = SelfAttention().eval(), (torch.zeros(1, 3, 8, 8),)
    space = spaces.discover(model, inputs)
    tokens, width = 4, 32
    fused = 2 * tokens * tokens * width  # fvcore does not count scaled_dot_product_attention
    assert space.full_flops == spaces.fvcore_flops(model, inputs) + fused
