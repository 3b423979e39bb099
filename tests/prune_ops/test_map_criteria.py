"""Criteria of feature maps: closed forms worked by hand, and plain loops over hooks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import SMALL
from torch import nn
from torch.nn.functional import cross_entropy

import prune_ops
import spaces
from spaces import Activation
from spaces.errors import UserError


@pytest.fixture
def relu_net(make_groups):
    """One image position in, two channels max(0, ±x), one output 3·a − 1·b."""
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-2.0]]))
        model[2].weight.copy_(torch.tensor([[3.0, -1.0]]))
    space = make_groups(("h", 2, ("0.weight", 0, "out"), ("2.weight", 1, "in")))
    passes = Activation("relu", 1, {"h": np.arange(2)[:, None]})
    return model, type(space)(space.groups, (passes,))


X = torch.tensor([[1.0], [2.0], [-1.0]])
Y = torch.zeros(3, 1)


def half_square(outputs, targets):
    return (outputs - targets).square().mean() / 2


def scores(model, space, criterion, batches, **options):
    return prune_ops.score(model, space, batches, [criterion], **options)[criterion]


def test_apoz_is_one_minus_the_share_of_zeros(relu_net):
    # a = 1, 2, 0 is zero once in three; b = 0, 0, 2 twice.
    found = scores(*relu_net, "apoz", [(X[:2], Y[:2]), (X[2:], Y[2:])])
    assert found["h"].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_taylor_2016_by_hand(relu_net):
    # z = (1, 0), (2, 0), (0, 2); y = 3, 6, -2; L = y²/2 an image, dL/dz = y·(3, -1).
    # |z·dL/dz|: (9, 0), (36, 0), (0, 4); the means (15, 4/3), divided by their length.
    found = scores(*relu_net, "taylor_2016", [(X, Y)], loss=half_square)
    wanted = torch.tensor([15.0, 4 / 3])
    torch.testing.assert_close(found["h"], wanted / wanted.norm())


def test_taylor_2016_means_over_positions_before_the_absolute_value(make_groups):
    # A 1×1 convolution, ReLU, mean over two positions, weight 2: z = 1 and 3 at the positions of
    # the one image; L = y²/2, y = 2·(1 + 3)/2 = 4, dL/dz = 4·2/2 = 4 at both: (4 + 12)/2 = 8.
    # The second channel has z = 2 and 6, weight -1: y = 4 - 4 = 0. So y is 0 with both of them.
    model = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(2, 1),
    )  # fmt: skip
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
        model[4].weight.copy_(torch.tensor([[2.0, -1.0]]))
        model[4].bias.fill_(1.0)
    # y = 2·2 - 1·4 + 1 = 1; dL/dz = (2, -1)·1/2; z·g = (1, 3)·1 and (2, 6)·(-1/2); means 2 and -2.
    passes = Activation("relu", 1, {"h": np.arange(2)[:, None]})
    space = make_groups(("h", 2, ("0.weight", 0, "out"), ("4.weight", 1, "in")))
    space = type(space)(space.groups, (passes,))
    image = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    found = scores(model, space, "taylor_2016", [(image, torch.zeros(1, 1))], loss=half_square)
    torch.testing.assert_close(found["h"], torch.full((2,), 0.5**0.5))


def test_hrank_of_known_matrices(make_groups):
    model = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.ReLU(), nn.Flatten())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1, 1))
    passes = Activation("relu", 1, {"h": np.arange(3)[:, None]})
    space = make_groups(("h", 3, ("0.weight", 0, "out")))
    space = type(space)(space.groups, (passes,))
    eye = torch.eye(4)
    one = torch.outer(torch.arange(1.0, 5.0), torch.arange(1.0, 5.0))
    images = torch.stack([eye, one, -eye])[:, None]
    # Channel 1 sees rank 4, 1 and 0; channel 2 zeros; channel 3 0, 0 and 4.
    found = scores(model, space, "hrank", [(images[:2], Y[:2]), (images[2:], Y[2:])])
    assert found["h"].tolist() == pytest.approx([5 / 3, 0, 4 / 3])


def maps(model, inputs, targets, modules):
    """By forward hooks on the ReLU modules themselves: the output and its gradient."""
    kept = []
    hooks = [m.register_forward_hook(lambda _m, _i, out: kept.append(out)) for m in modules]
    loss = cross_entropy(model(inputs), targets)
    for hook in hooks:
        hook.remove()
    return kept, torch.autograd.grad(loss, kept)


@pytest.mark.parametrize("criterion", ["apoz", "hrank", "taylor_2016"])
def test_equals_a_plain_loop_over_hooks(criterion):
    torch.manual_seed(0)
    model = SMALL["Plain"]().eval()
    space = spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    inputs, targets = torch.randn(5, 3, 8, 8), torch.arange(5)
    seen = {"a.0": [], "b.0": []}
    for image, target in zip(inputs.split(1), targets.split(1), strict=True):
        outputs, gradients = maps(model, image, target, [model.a[2], model.b[2]])
        for name, z, g in zip(seen, outputs, gradients, strict=True):
            seen[name].append((z[0].detach(), g[0]))
    found = scores(model, space, criterion, [(inputs, targets)])
    for name, pairs in seen.items():
        if criterion == "apoz":
            wanted = torch.stack([(z > 0).float().mean((1, 2)) for z, _ in pairs]).mean(0)
        elif criterion == "hrank":
            ranks = [[np.linalg.matrix_rank(c.numpy()) for c in z] for z, _ in pairs]
            wanted = torch.tensor(ranks).float().mean(0)
        else:
            theta = torch.stack([(z * g).mean((1, 2)).abs() for z, g in pairs]).mean(0)
            wanted = theta / theta.norm()
        torch.testing.assert_close(found[name], wanted, rtol=1e-4, atol=1e-6)


def test_a_stream_is_the_mean_over_its_activations():
    torch.manual_seed(0)
    model = SMALL["Residual"]().eval()
    space = spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    inputs = torch.randn(4, 3, 8, 8)
    found = scores(model, space, "apoz", [(inputs, torch.zeros(4).long())])["stem.0"]
    with torch.no_grad():
        stem = model.stem(inputs)
        end = torch.relu(stem + model.conv2(model.conv1(stem)))
    both = [(x > 0).float().mean((0, 2, 3)) for x in (stem, end)]
    torch.testing.assert_close(found, (both[0] + both[1]) / 2)


@pytest.mark.parametrize(
    ("criterion", "network", "lacking"),
    [
        ("apoz", "SelfAttention", "a ReLU that every group passes, but there is none for up"),
        ("apoz", "Depthwise", "a ReLU that every group passes, but there is none for point"),
        ("hrank", "ScaleNorm", "an activation function that every group passes, but there is none"),
        ("taylor_2016", "Depthwise", "an activation function that every group passes, but there"),
    ],
)
def test_what_lacks_an_activation_is_refused_before_anything_is_read(criterion, network, lacking):
    model = SMALL[network]()
    space = spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(UserError) as caught:
        prune_ops.check_criteria([criterion], model, space)
    assert str(caught.value).startswith(f"criterion '{criterion}' needs {lacking}")
    assert "; use l1, fpgm" in str(caught.value)
    assert "\n" not in str(caught.value)
