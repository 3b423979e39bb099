"""snip, grasp, fisher, zico and params: closed forms by hand, and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from devices import DEVICES
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL
from torch import nn
from torch.func import functional_call

import prune_ops
from prune_ops.proxies.passes import BATCHES
from spaces import UserError

LOG3 = math.log(3)


def candidate(pruned, calibration):
    return prune_ops.PrunedCandidate(None, None, None, pruned, calibration, ())


def proxy(name, pruned, calibration):
    return prune_ops.PROXIES[name](candidate(pruned, calibration))


def batches(sizes, shape=(3, 6, 6), classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(size, *shape, generator=generator, dtype=torch.float64),
            torch.randint(classes, (size,), generator=generator),
        )
        for size in sizes
    ]


@pytest.fixture
def by_hand():
    """Outputs (log 3 · x, 0): of an image x = 1 the probabilities are ¾ and ¼."""
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[LOG3], [0.0]]))
    return model


ONES = torch.ones(2, 1)
UNLIKE = [(ONES, torch.tensor([0, 1]))]
"""Gradients p - y of the images: (-¼, ¼) and (¾, -¾); their mean is (¼, -¼)."""


def test_snip_by_hand(by_hand):
    assert proxy("snip", by_hand, UNLIKE) == pytest.approx(LOG3 / 4)


def test_grasp_by_hand(by_hand):
    # H = diag(p) - p pᵀ = 3/16 · [[1, -1], [-1, 1]], so H g = (3/32, -3/32).
    assert proxy("grasp", by_hand, UNLIKE) == pytest.approx(-LOG3 * 3 / 32)


def test_fisher_by_hand(by_hand):
    # a g = -log 3 / 4 and 3 log 3 / 4 in the first channel, 0 in the second.
    assert proxy("fisher", by_hand, UNLIKE) == pytest.approx(LOG3**2 * (1 + 9) / 16 / 2 / 2)


def test_zico_by_hand(by_hand):
    alike = torch.zeros(2).long()
    half = torch.tensor([[1.0], [0.0]])  # the image 0 has no gradient
    # Batches give (-¼, ¼) and (-⅛, ⅛): mean|g| = 3/16, std = 1/16, so 3 for each weight.
    assert proxy("zico", by_hand, [(ONES, alike), (half, alike)]) == pytest.approx(math.log(6))


def test_zico_leaves_out_what_is_the_same_in_all_batches(by_hand):
    alike = (ONES, torch.zeros(2).long())
    assert proxy("zico", by_hand, [alike, alike]) == 0


def test_params_by_hand():
    shared = nn.Conv2d(3, 4, 3)
    model = nn.Sequential(shared, nn.BatchNorm2d(4), nn.Linear(4, 2), shared)
    assert proxy("params", model, []) == (3 * 4 * 9 + 4) + 2 * 4 + (4 * 2 + 2)


class Net(nn.Module):
    """Works in place behind a convolution without BatchNorm, and uses a linear layer on tokens."""

    def __init__(self, norm):
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(4, 4, 3, groups=2)
        self.tokens, self.fc = nn.Linear(4, 5), nn.Linear(5, 3)
        self.double()

    def forward(self, x):
        x = F.hardtanh(self.norm(self.conv1(x)), inplace=True)
        x = F.softplus(F.leaky_relu(self.conv2(x), 0.1, inplace=True))
        x = torch.tanh(self.tokens(x.flatten(2).transpose(1, 2)))
        return self.fc(x.mean(1))

    def outputs(self, x):
        """Of every layer, channels first, with their gradients kept; the last one is the result."""
        a = self.conv1(x)
        b = self.conv2(F.hardtanh(self.norm(a)))
        c = self.tokens(F.softplus(F.leaky_relu(b, 0.1)).flatten(2).transpose(1, 2))
        d = self.fc(torch.tanh(c).mean(1))
        for each in (a, b, c, d):
            each.retain_grad()
        return (a, b, c, d)


WEIGHTS = ("conv1.weight", "conv2.weight", "tokens.weight", "fc.weight")


def loss_of(model, data):
    """The mean over all images, BatchNorm by batch; a function of the weights in one vector."""
    shapes = [model.get_parameter(name).shape for name in WEIGHTS]
    images = sum(len(x) for x, _ in data)

    def loss(vector):
        parts = vector.split([shape.numel() for shape in shapes])
        named = {n: p.view(s) for n, p, s in zip(WEIGHTS, parts, shapes, strict=True)}
        each = (F.cross_entropy(functional_call(model, named, (x,)), y) * len(x) for x, y in data)
        return sum(each) / images

    return loss, torch.cat([model.get_parameter(name).detach().flatten() for name in WEIGHTS])


@pytest.mark.parametrize("norm", [False, True])
def test_grasp_and_snip_against_the_whole_hessian_and_gradient(norm):
    model, data = Net(norm).train(), batches([5, 3])
    loss, w = loss_of(model, data)
    g = torch.autograd.functional.jacobian(loss, w)
    hessian = torch.autograd.functional.hessian(loss, w)
    assert proxy("grasp", model.eval(), data) == pytest.approx(-(w @ hessian @ g).item())
    assert proxy("snip", model, data) == pytest.approx((w * g).abs().sum().item())


@pytest.mark.parametrize("norm", [False, True])
def test_fisher_against_a_loop_over_images_and_channels(norm):
    """Without BatchNorm it is a loop of single images; with it an image needs its batch."""
    model, data = Net(norm).train(), batches([5, 3])
    found = [0.0] * 4
    for x, y in data:
        for images, targets in [(x, y)] if norm else zip(x.split(1), y.split(1), strict=True):
            outputs = model.outputs(images)
            F.cross_entropy(outputs[-1], targets, reduction="sum").backward()
            for layer, output in enumerate(outputs):
                channels = 2 if layer == 2 else 1
                for a, g in zip(output.detach(), output.grad, strict=True):
                    for own in (a * g).unbind(channels - 1):
                        found[layer] += own.sum().item() ** 2
    assert proxy("fisher", model, data) == pytest.approx(sum(found) / 8 / 2)


def test_zico_against_a_loop():
    model, data = Net(norm=True).train(), batches([5, 3, 4])
    gradients = {name: [] for name in WEIGHTS}
    for x, y in data:
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for name in WEIGHTS:
            gradients[name].append(model.get_parameter(name).grad.numpy().flatten().copy())
    wanted = 0.0
    for g in gradients.values():
        per_weight = zip(*g, strict=True)
        wanted += math.log(sum(np.abs(w).mean() / np.std(w) for w in map(np.array, per_weight)))
    assert proxy("zico", model, data) == pytest.approx(wanted)


def scale_free(classifier=True):
    """Weights in front of BatchNorms that leave no room for an epsilon."""
    torch.manual_seed(0)
    norm = {"eps": 1e-14}
    layers = [
        *(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, **norm), nn.ReLU()),
        *(nn.Conv2d(4, 5, 3, bias=False), nn.BatchNorm2d(5, **norm), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *((nn.Linear(5, 3),) if classifier else ()),
    ]
    return nn.Sequential(*layers).double()


@pytest.mark.parametrize("name", ["snip", "fisher", "zico", "jacob_cov"])
@settings(max_examples=10)
@given(factor=st.floats(0.05, 20), layer=st.sampled_from(["0", "3"]))
def test_the_scale_of_weights_in_front_of_batchnorm_says_nothing(name, factor, layer):
    data, model = batches([4, 4]), scale_free()
    before = proxy(name, model, data)
    with torch.no_grad():
        model.get_parameter(f"{layer}.weight").mul_(factor)
    assert proxy(name, model, data) == pytest.approx(before, rel=1e-6)


def test_grasp_of_weights_without_scale_is_their_gradient_flow():
    model, data = scale_free(classifier=False).train(), batches([6, 4], classes=5)
    loss = sum(len(x) * F.cross_entropy(model(x), y) for x, y in data) / 10
    flow = torch.autograd.grad(loss, [model[0].weight, model[3].weight])
    wanted = sum(g.square().sum().item() for g in flow)
    assert proxy("grasp", model, data) == pytest.approx(wanted)


PASSES = ["snip", "grasp", "fisher", "zico"]


@pytest.mark.parametrize("name", [*PASSES, "jacob_cov", "synflow"])
def test_inherited_statistics_and_dropout_leave_no_trace(name):
    data = batches([4, 4])
    plain, other = scale_free(), scale_free()
    other.insert(6, nn.Dropout(0.5))
    for norm in (other[1], other[4]):
        norm.running_mean.fill_(7)
        norm.running_var.fill_(100)
    assert proxy(name, other.train(), data) == proxy(name, plain.eval(), data)


def test_gradients_are_computed_once_for_all_and_of_four_batches_at_most(monkeypatch):
    model, calls, forward = Net(norm=True), [], Net.forward
    monkeypatch.setattr(Net, "forward", lambda *args: calls.append(1) or forward(*args))
    one = candidate(model, batches([3] * 6))
    values = [prune_ops.PROXIES[name](one) for name in ("snip", "fisher", "zico")]
    assert len(calls) == BATCHES == 4
    assert values == [proxy(name, model, batches([3] * 4)) for name in ("snip", "fisher", "zico")]


@pytest.mark.parametrize("name", [*PASSES, "jacob_cov"])
def test_a_batch_of_one_image_is_left_out(name):
    model, data = Net(norm=True), batches([1, 4, 4])
    assert proxy(name, model, data) == proxy(name, model, data[1:])


@pytest.mark.parametrize("name", [*PASSES, "jacob_cov", "synflow"])
@pytest.mark.parametrize(
    "network", ["SelfAttention", "Recurrent", "Parametrized", "TrainOnly", "Everything"]
)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.filterwarnings("ignore:RNN module weights are not part")  # copies are not
def test_attention_and_what_cannot_be_pruned_are_judged_too(name, network, device):
    torch.manual_seed(0)
    images = torch.randn(4, 3, 8, 8, device=device)
    data = [(images, torch.arange(4, device=device)), (-images, torch.arange(4, device=device))]
    value = proxy(name, SMALL[network]().to(device), data)
    assert math.isfinite(value)
    assert value != 0


@pytest.mark.parametrize(
    ("name", "sizes", "words"),
    [
        ("snip", [], "at least 1, but got 0; give more training data"),
        ("grasp", [1, 1], "at least 1, but got 0"),
        ("fisher", [1], "at least 1, but got 0"),
        ("jacob_cov", [1, 1], "at least 1, but got 0"),
        ("synflow", [], "at least 1, but got 0"),
        ("zico", [5, 1], "at least 2, but got 1"),
    ],
)
def test_too_few_images_are_refused_in_one_line(name, sizes, words):
    model = Net(norm=False)
    words = f"proxy '{name}' needs calibration batches of 2 images or more, {words}"
    with pytest.raises(UserError, match=words) as refused:
        proxy(name, model, batches(sizes))
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match=words):
        prune_ops.check_proxies(["adaptive_bn", name], model, sizes)


@pytest.mark.parametrize("name", [*PASSES, "jacob_cov", "synflow"])
def test_a_network_without_layers_is_refused_in_one_line(name):
    with pytest.raises(UserError, match=f"'{name}' needs the weight of a conv") as refused:
        prune_ops.check_proxies([name], nn.BatchNorm2d(3), [4, 4])
    assert "\n" not in str(refused.value)
