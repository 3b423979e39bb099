"""Surgery on small networks: cost, masked reference, attributes, training, independence."""

import copy

import numpy as np
import pytest
import torch
from devices import needs_cuda
from networks import SMALL, Depthwise, Plain, Residual, ScaleNorm, Shared, Transposed
from oracles import check_surgery, random_selection

import spaces

INPUT = (torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)


def pruned(network, seed=0):
    torch.manual_seed(0)
    model = network()
    space = spaces.discover(model, INPUT)
    _, selection = random_selection(space, np.random.default_rng(seed))
    return model, space, spaces.slice_model(model, space, selection), selection


def of_lstm(small):
    """64 steps of four gates."""
    units = small.lstm.hidden_size
    return 64 * 4 * units * (small.lstm.input_size + units)


def of_gru(small):
    """Four steps of three gates in two layers both ways, and the pairs; fvcore counts cells."""
    units = small.gru.hidden_size
    layers = 3 * units * (small.gru.input_size + units), 3 * units * (2 * units + units)
    return 4 * 2 * sum(layers) + 6 * 8 * 8


@pytest.mark.parametrize("name", SMALL)
def test_random_policies_cost_what_the_space_says_and_compute_what_masking_computes(name):
    torch.manual_seed(0)
    by_hand = {
        "SelfAttention": 2 * 4 * 4 * 32,
        "Heads": lambda small: 4 * 4 * (small.q.out_features + small.v.out_features),
        "Recurrent": of_lstm,
        "Stacked": of_gru,
    }
    check_surgery(SMALL[name](), INPUT, policies=20, uncounted=by_hand.get(name, 0))


@pytest.mark.parametrize("name", SMALL)
def test_the_pruned_network_trains_and_leaves_the_original_alone(name):
    torch.manual_seed(0)
    model = SMALL[name]()
    before = copy.deepcopy(model.state_dict())
    space = spaces.discover(model, INPUT)
    small = spaces.slice_model(model, space, random_selection(space, np.random.default_rng(1))[1])
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1)
    out = small.train()(torch.randn(4, 3, 8, 8))
    (out[0] if isinstance(out, tuple) else out).square().mean().backward()
    optimizer.step()
    assert all(p.grad is None for p in model.parameters())
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_attributes_follow_the_tensors():
    _, _, small, selection = pruned(Depthwise)
    kept, point = (len(selection[name]) for name in ("a.0", "point"))
    assert (small.depthwise.in_channels, small.depthwise.out_channels) == (kept, 2 * kept)
    assert small.depthwise.groups == kept
    assert small.a[1].num_features == kept
    assert (small.point.in_channels, small.point.out_channels) == (2 * kept, point)
    assert (small.head.fc.in_features, small.head.fc.out_features) == (point, 10)


def test_attributes_of_transposed_convolutions():
    _, _, small, selection = pruned(Transposed)
    a, up, grouped = (len(selection[name]) for name in ("a.0", "up", "grouped"))
    assert (small.up.in_channels, small.up.out_channels) == (a, 4 * up)
    assert (small.grouped.in_channels, small.grouped.out_channels) == (4 * up, 4 * grouped)
    assert small.grouped.groups == 4
    assert small.depthwise.groups == small.depthwise.in_channels == 4 * grouped


def test_attributes_of_layer_and_group_norm():
    _, _, small, selection = pruned(ScaleNorm)
    width = 4 * len(selection["stem"])
    assert small.norm.normalized_shape == (width,)
    assert small.last.num_channels == width
    assert small.scale.shape == (width, 1, 1)


def test_shared_weights_stay_shared():
    _, _, small, _ = pruned(Shared)
    assert small.left.weight is small.right.weight


def test_the_selected_channels_are_the_ones_that_stay():
    model, _, small, selection = pruned(Residual)
    assert small.stem[0].weight.equal(model.stem[0].weight[selection["stem.0"]])


def test_frozen_parameters_and_mode_are_kept():
    model = Plain().eval()
    model.a[0].weight.requires_grad_(False)
    space = spaces.discover(model, INPUT)
    small = spaces.slice_model(model, space, {"a.0": np.arange(4)})
    assert not small.a[0].weight.requires_grad
    assert small.b[0].weight.requires_grad
    assert not small.training


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"nowhere": np.arange(2)}, "groups of the space"),
        ({"a.0": np.array([], dtype=int)}, "at least one"),
        ({"a.0": np.array([16])}, "within 0..15"),
    ],
)
def test_a_selection_that_does_not_fit_is_named(selection, message):
    model = Plain()
    with pytest.raises(spaces.UserError, match=message):
        spaces.slice_model(model, spaces.discover(model, INPUT), selection)


@pytest.mark.parametrize("name", SMALL)
def test_a_fresh_model_fits_itself_to_a_pruned_state(name):
    _, _, small, _ = pruned(SMALL[name])
    torch.manual_seed(1)
    fresh = SMALL[name]()
    spaces.fit_to_state(fresh, small.state_dict())
    assert torch.equal(fresh.eval()(*INPUT), small.eval()(*INPUT))


def test_a_state_of_another_model_is_refused():
    with pytest.raises(spaces.ModelError, match="must have the model's names"):
        spaces.fit_to_state(Plain(), Residual().state_dict())
    larger = {k: torch.cat([v, v]) if v.dim() else v for k, v in Plain().state_dict().items()}
    with pytest.raises(spaces.ModelError, match="at most as large as the model"):
        spaces.fit_to_state(Plain(), larger)


def test_space_refuses_the_policy_of_another_model():
    space = spaces.discover(Plain(), INPUT)
    with pytest.raises(spaces.UserError, match="made for another model"):
        space.flops(spaces.Policy({"a.0": 4, "c.0": 4}))
    with pytest.raises(spaces.UserError, match="at most 32"):
        space.flops(spaces.Policy({"a.0": 4, "b.0": 40}))


def test_the_self_check_computes_in_full_precision_and_puts_back_what_was(monkeypatch):
    """TF32, a GPU's default for convolutions, is off by more than the check tolerates."""
    seen = []

    class Watched(SMALL["Plain"]):
        def forward(self, x):
            seen.append((torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()))
            return super().forward(x)

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.set_float32_matmul_precision("high")
    try:
        spaces.discover(Watched(), (torch.zeros(1, 3, 8, 8),))
        after = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    finally:
        torch.set_float32_matmul_precision("highest")
    assert (False, "highest") in seen
    assert after == (True, "high")


@needs_cuda
@pytest.mark.parametrize("name", ["Plain", "Residual", "Grouped", "Separable"])
def test_the_same_groups_on_cuda_as_on_the_cpu(name):
    model = SMALL[name]()
    here = spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    there = spaces.discover(model.cuda(), (torch.zeros(1, 3, 8, 8, device="cuda"),))
    assert [g.name for g in there.groups] == [g.name for g in here.groups]
