"""What channels add to sampled outputs: against running each layer on one channel at a time."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from networks import SMALL
from oracles import every_output
from torch import nn

import spaces
from prune_ops.collecting import collect
from prune_ops.contributions import Layer, by_input, sampled
from prune_ops.tracing import LayerTracer


def uses_of(module, inputs):
    """What ``LayerTracer`` finds when the module runs, and what it returned."""
    found = []
    with torch.no_grad(), LayerTracer([module.weight], lambda _, layer: found.append(layer)):
        result = module(inputs)
    return found, result


LAYERS = {
    "conv1d": (nn.Conv1d(3, 4, 3, padding=1), (2, 3, 7)),
    "conv2d": (nn.Conv2d(3, 4, 3), (2, 3, 5, 6)),
    "conv3d": (nn.Conv3d(2, 3, 2, stride=2), (2, 2, 4, 5, 4)),
    "strided": (nn.Conv2d(3, 4, (3, 2), stride=(2, 3), padding=(2, 1)), (2, 3, 6, 7)),
    "dilated": (nn.Conv2d(3, 4, 3, padding=2, dilation=(2, 1)), (2, 3, 7, 6)),
    "grouped": (nn.Conv2d(6, 4, 3, padding=1, groups=2), (2, 6, 4, 4)),
    "same": (nn.Conv2d(3, 4, (4, 3), padding="same", dilation=(1, 2)), (2, 3, 6, 6)),
    "valid": (nn.Conv2d(3, 4, 3, padding="valid"), (2, 3, 5, 5)),
    "reflect": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), (2, 3, 5, 5)),
    "unbatched": (nn.Conv2d(3, 4, 3), (3, 5, 5)),
    "transposed": (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1), (2, 3, 4, 4)),
    "transposed1d": (nn.ConvTranspose1d(3, 4, 4, stride=3, dilation=2), (2, 3, 5)),
    "transposed grouped": (
        nn.ConvTranspose2d(6, 4, 3, stride=(2, 1), padding=1, output_padding=(1, 0), groups=2),
        (2, 6, 3, 4),
    ),
    "linear": (nn.Linear(5, 3), (2, 5)),
    "linear of tokens": (nn.Linear(5, 3, bias=False), (2, 4, 5)),
    "linear of one": (nn.Linear(5, 3), (5,)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", LAYERS)
def test_parts_of_every_output_equal_the_layer_run_on_one_channel_alone(name):
    module, shape = LAYERS[name]
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    [layer], outputs = uses_of(module, inputs)
    parts = by_input(layer, every_output(layer))
    dim = -1 if isinstance(module, nn.Linear) else inputs.ndim - layer.weight.ndim + 1
    if name == "unbatched":
        dim = 0
    silent = module(torch.zeros_like(inputs))
    wanted = [module(only(inputs, dim, [c])) - silent for c in range(inputs.shape[dim])]
    wanted = torch.stack([as_listed(module, w) for w in wanted], 1)
    if layer.groups > 1 and not layer.transposed:  # one of the two groups is silent each time
        wanted = wanted.unflatten(1, (layer.groups, -1)).sum(1)
    torch.testing.assert_close(parts, wanted, rtol=1e-4, atol=1e-5)
    bias = as_listed(module, silent.expand_as(outputs))
    torch.testing.assert_close(parts.sum(1) + bias, as_listed(module, outputs))


def only(inputs, dim, channels):
    index = torch.as_tensor(channels)
    return torch.zeros_like(inputs).index_copy(dim, index, inputs.index_select(dim, index))


def as_listed(module, outputs):
    """In the order of ``every_output``: item, channel, position."""
    if isinstance(module, nn.Linear):
        return outputs.movedim(-1, min(1, outputs.ndim - 1)).flatten().detach()
    return outputs.flatten().detach()


def test_a_functional_call_with_keywords_is_seen():
    weight = nn.Parameter(torch.randn(4, 2, 3, 3))
    found = []
    with LayerTracer([weight], lambda *use: found.append(use)):
        F.conv2d(weight=weight, input=torch.randn(1, 2, 5, 5), stride=2)
        F.conv2d(torch.randn(1, 2, 5, 5), torch.randn(4, 2, 3, 3))
    [(parameter, layer)] = found
    assert parameter is weight
    assert (layer.stride, layer.padding, layer.positions) == ((2, 2), (0, 0), (2, 2))


def layer_of(items, outputs, positions):
    inputs = torch.zeros(items, 1, *positions)
    weight = torch.zeros(outputs, 1, *(1 for _ in positions))
    ones = tuple(1 for _ in positions)
    return Layer(inputs, weight, outputs, positions, ones, tuple(0 for _ in positions), ones)


@given(
    images=st.integers(1, 6),
    windows=st.integers(1, 5),
    outputs=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_samples_are_spread_evenly_over_items(images, windows, outputs, seed):
    """Ten an image; where the layer sees several windows of an image, ten over them."""
    layer = layer_of(images * windows, outputs, (3, 2))
    sample = sampled(layer, 10 * images, torch.Generator().manual_seed(seed))
    assert (sample.item // windows).bincount(minlength=images).tolist() == [10] * images
    for index, size in zip((sample.channel, *sample.position), (outputs, 3, 2), strict=True):
        assert index.shape == (10 * images,)
        assert 0 <= index.min() <= index.max() < size


def test_samples_reach_every_output_alike():
    layer = layer_of(1, 3, (2, 2))
    sample = sampled(layer, 12_000, torch.Generator().manual_seed(0))
    flat = (sample.channel * 2 + sample.position[0]) * 2 + sample.position[1]
    counts = flat.bincount(minlength=12)
    assert (counts - 1000).abs().max() < 4 * 1000**0.5  # four standard deviations


NETWORKS = (
    "Residual", "Grouped", "Depthwise", "Transposed", "Concat", "Shuffle", "SqueezeExcite",
    "ScaleNorm", "Shared", "TrainOnly", "SelfAttention",
)  # fmt: skip


def gram_of(model, space, batches, seed=0):
    required = frozenset({"contributions"})
    return collect(model, space, batches, required, seed=seed)[0].contributions


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gram_matrix_equals_one_of_layers_run_channel_by_channel(name, monkeypatch):
    """Over all outputs, of every layer that reads the group."""
    monkeypatch.setattr("prune_ops.contributions.sampled", every_output)
    torch.manual_seed(0)
    model = SMALL[name]().eval()
    space = spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    batches = [(torch.randn(n, 3, 8, 8), torch.zeros(n, dtype=torch.long)) for n in (2, 1)]
    grams = gram_of(model, space, batches)
    inputs = inputs_of_layers(model, batches)
    for group in space.groups:
        wanted = torch.zeros(group.channels, group.channels, dtype=torch.float64)
        for member in (m for m in group.members if m.kind == "in"):
            for module, seen in inputs[member.parameter]:
                x = torch.stack([alone(module, seen, c) for c in member.index])
                wanted += x @ x.T
        torch.testing.assert_close(grams[group.name], wanted, rtol=1e-4, atol=1e-5)


def inputs_of_layers(model, batches):
    """Weight name → (module in float64, its input) of every call, shared weights together."""
    calls = {name: [] for name, _ in model.named_parameters()}
    model = copy.deepcopy(model)
    names = {id(p): name for name, p in model.named_parameters()}

    def note(module, args):
        layer = copy.deepcopy(module).double()
        layer._forward_pre_hooks.clear()
        calls[names[id(module.weight)]].append((layer, args[0].double()))

    for module in list(model.modules()):
        if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
            module.register_forward_pre_hook(note)
    with torch.no_grad():
        for images, _ in batches:
            model(images)
    return calls


@torch.no_grad()
def alone(module, inputs, positions):
    """What the layer's outputs are of these positions of its weight's input dim, less the bias."""
    dim, positions = (-1 if isinstance(module, nn.Linear) else 1), torch.as_tensor(positions)
    if getattr(module, "groups", 1) > 1 and not module.transposed:
        size = module.in_channels // module.groups
        groups = range(module.groups)
        positions = torch.tensor([q * size + int(p) for q, p in product(groups, positions)])
    masked = only(inputs, dim, positions)
    return (module(masked) - module(torch.zeros_like(inputs))).flatten()


@pytest.fixture(scope="module")
def residual():
    torch.manual_seed(0)
    model = SMALL["Residual"]().eval()
    return model, spaces.discover(model, (torch.zeros(1, 3, 8, 8),))


def test_the_sampled_gram_matrix_comes_near_that_of_all_outputs(residual, monkeypatch):
    model, space = residual
    batch = torch.randn(300, 3, 8, 8), torch.zeros(300, dtype=torch.long)
    some = gram_of(model, space, [batch])["conv1.0"] / (10 * 300)
    monkeypatch.setattr("prune_ops.contributions.sampled", every_output)
    all_of_them = gram_of(model, space, [batch])["conv1.0"] / (300 * 16 * 64)
    assert (some - all_of_them).norm() < 0.1 * all_of_them.norm()


def test_the_seed_settles_which_outputs_are_sampled(residual):
    batches = [(torch.randn(n, 3, 8, 8), torch.zeros(n, dtype=torch.long)) for n in (3, 2)]
    first, again, other = (gram_of(*residual, batches, seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_a_batch_without_images_adds_nothing(residual):
    some = (torch.randn(3, 3, 8, 8), torch.zeros(3, dtype=torch.long))
    none = (some[0][:0], some[1][:0])
    found, wanted = gram_of(*residual, [none, some]), gram_of(*residual, [some])
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
