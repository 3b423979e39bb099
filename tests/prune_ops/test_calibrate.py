"""The calibration pass: what it collects is right, and it leaves no trace."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

import prune_ops
from prune_ops.collecting import collect
from spaces.errors import UserError

CRITERIA = ["l1", "taylor_2019", "second_order"]


class Everything(nn.Module):
    """Every kind of parameter whose gradient a faster per-sample scheme could get wrong."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.twice = nn.Conv2d(8, 8, 1)
        self.scale = nn.Parameter(torch.full((8, 1, 1), 0.5))
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)
        self.alias = self.twice

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        x = x + self.scale * self.depthwise(self.grouped(x)).relu()
        x = self.alias(self.twice(x).relu()).relu()
        return self.head(self.dropout(self.up(x)).mean((2, 3)))


@pytest.fixture
def everything(make_groups):
    torch.manual_seed(0)
    model = Everything().eval()
    named = model.named_parameters(remove_duplicate=False)
    places = [(name, 0, "out") for name, p in named if len(p) == 8]
    return model, make_groups(("conv", 8, *places, ("up.bias", 0, "out")))


def batches(sizes=(3, 2, 1), seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, 3, 6, 6, generator=generator), torch.randint(4, (n,), generator=generator))
        for n in sizes
    ]


def sample_gradients(model, inputs, targets):
    """Per-sample gradients by another road: ``vmap`` of the functional gradient."""
    model = copy.deepcopy(model)  # functional_call does not restore a module with two names
    buffers = dict(model.named_buffers())
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters, image, target):
        outputs = functional_call(model, (parameters, buffers), (image[None],))
        return cross_entropy(outputs, target[None])

    return vmap(grad(loss), (None, 0, 0))(parameters, inputs, targets)


def test_fisher_equals_vmapped_sample_gradients(everything):
    model, space = everything
    stats, _ = collect(model, space, batches(), frozenset({"fisher"}))
    inputs, targets = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    wanted = sample_gradients(model, inputs, targets)
    assert stats.fisher.keys() >= {"grouped.weight", "depthwise.weight", "norm.bias", "scale"}
    assert torch.equal(stats.fisher["alias.weight"], stats.fisher["twice.weight"])
    for name in stats.fisher.keys() & wanted.keys():
        torch.testing.assert_close(stats.fisher[name], wanted[name].square().mean(0))


def test_fisher_equals_a_loop_of_backward_passes(everything):
    model, space = everything
    stats, _ = collect(model, space, batches(), frozenset({"fisher"}))
    reference, squares = copy.deepcopy(model), {}
    samples = [pair for x, y in batches() for pair in zip(x, y, strict=True)]
    for image, target in samples:
        reference.zero_grad()
        cross_entropy(reference(image[None]), target[None]).backward()
        for name, parameter in reference.named_parameters():
            squares[name] = squares.get(name, 0) + parameter.grad.square() / len(samples)
    for name in stats.fisher.keys() & squares.keys():
        torch.testing.assert_close(stats.fisher[name], squares[name])


def test_taylor_equals_autograd_of_a_gate(everything):
    """Σ g·w of a channel is the derivative of the loss by a gate on its weights, at 1."""
    model, space = everything
    owned = {m.parameter for m in space.groups[0].members}
    seen = []
    for inputs, targets in batches():
        gate = torch.ones(8, requires_grad=True)
        gated = {
            name: p.detach() * (gate.view(-1, *[1] * (p.ndim - 1)) if name in owned else 1)
            for name, p in model.named_parameters()
        }
        outputs = functional_call(copy.deepcopy(model), gated, (inputs,))
        loss = cross_entropy(outputs, targets)
        seen.append(torch.autograd.grad(loss, gate)[0])
    scores = prune_ops.score(model, space, batches(), ["taylor_2019"])["taylor_2019"]["conv"]
    torch.testing.assert_close(scores, torch.stack(seen).square().mean(0))


def test_one_pass_feeds_all(everything):
    model, space = everything
    together = prune_ops.score(model, space, iter(batches()), CRITERIA)
    assert list(together) == CRITERIA
    for name in CRITERIA:
        alone = prune_ops.score(model, space, batches(), [name])[name]
        assert torch.equal(alone["conv"], together[name]["conv"])


def test_data_is_not_touched_unless_needed(everything):
    model, space = everything

    def untouchable():
        raise AssertionError("l1 needs no data")
        yield

    scores = prune_ops.score(model, space, untouchable(), ["l1", "random"])
    assert scores["l1"]["conv"].shape == (8,)


class Idle(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Linear(2, 3), nn.Linear(2, 3)

    def forward(self, x):
        return self.used(x)


@pytest.mark.parametrize("criterion", ["taylor_2019", "second_order"])
def test_a_layer_that_the_loss_ignores_scores_zero(make_groups, criterion):
    space = make_groups(("used", 3, ("used.bias", 0, "out")), ("idle", 3, ("idle.bias", 0, "out")))
    data = [(torch.ones(2, 2), torch.tensor([0, 1]))]
    scores = prune_ops.score(Idle(), space, data, [criterion])[criterion]
    assert scores["idle"].tolist() == [0, 0, 0]
    assert scores["used"].min() > 0


def test_the_model_stays_as_it_was(everything):
    """In training mode, part frozen, one gradient at hand: all of it is there afterwards."""
    model, space = everything
    model.train()
    model.norm.eval()
    model.conv.weight.requires_grad_(False)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    state = copy.deepcopy(model.state_dict())
    with torch.no_grad():  # the caller's own mode is no obstacle
        scores = prune_ops.score(model, space, batches(), CRITERIA)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert [name for name, m in model.named_modules() if not m.training] == ["norm"]
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["conv.weight"]
    assert [n for n, p in model.named_parameters() if p.grad is not None] == ["head.weight"]
    assert torch.equal(model.head.weight.grad, torch.ones_like(model.head.weight))
    expected = prune_ops.score(model.eval().requires_grad_(True), space, batches(), CRITERIA)
    assert torch.equal(scores["taylor_2019"]["conv"], expected["taylor_2019"]["conv"])
    assert torch.equal(scores["second_order"]["conv"], expected["second_order"]["conv"])


@pytest.mark.parametrize("none", [[], [(torch.zeros(0, 3, 6, 6), torch.zeros(0).long())]])
def test_no_images_is_one_line(everything, none):
    with pytest.raises(UserError) as caught:
        prune_ops.score(*everything, none, ["taylor_2019"])
    assert str(caught.value) == (
        "calibration needs at least 1 image, but got none; give more training data"
    )


def test_an_unknown_criterion_names_the_nearest(everything):
    with pytest.raises(
        UserError, match="unknown criterion 'tailor_2019', did you mean 'taylor_2019'"
    ):
        prune_ops.score(*everything, [], ["tailor_2019"])


def test_a_single_name_is_no_list(everything):
    with pytest.raises(UserError) as caught:
        prune_ops.score(*everything, [], "l1")
    assert str(caught.value) == ("criteria must be a list of names, but got a string; use ['l1']")


def test_a_diverged_model_is_one_line(everything):
    model, space = everything
    nn.init.constant_(model.conv.bias, float("nan"))
    with pytest.raises(
        UserError, match="'taylor_2019' gave nan or inf in conv; check that the weights"
    ):
        prune_ops.score(model, space, batches(), ["taylor_2019"])


def test_cudnn_is_left_as_it_was(everything, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    seen = []

    def loss(outputs, targets):
        seen.append((torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark))
        return cross_entropy(outputs, targets)

    prune_ops.score(*everything, batches([1]), ["taylor_2019"], loss=loss)
    assert seen == [(True, False)]
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (False, True)


class Cut(nn.Module):
    """Its head sees nothing that could be differentiated."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)).detach())


@pytest.mark.parametrize("criterion", ["taylor_2019", "second_order"])
def test_without_gradients_it_says_what_would_work(make_groups, criterion):
    space = make_groups(("conv", 8, ("conv.weight", 0, "out"), ("head.weight", 1, "in")))
    model = Cut().requires_grad_(False)
    space_of_conv = make_groups(("conv", 8, ("conv.weight", 0, "out")))
    for check in (
        lambda: prune_ops.score(model, space_of_conv, batches(), [criterion]),
        lambda: prune_ops.check_criteria(
            [criterion], model, space_of_conv, example=(torch.zeros(1, 3, 6, 6),)
        ),
    ):
        with pytest.raises(UserError) as caught:
            check()
        assert str(caught.value) == (
            f"criterion '{criterion}' needs gradients of the loss by the weights, but there are "
            "none (element 0 of tensors does not require grad and does not have a grad_fn); use "
            "l1 or fpgm"
        )
    prune_ops.check_criteria([criterion], model, space, example=(torch.zeros(1, 3, 6, 6),))


def test_too_few_images_is_one_line_before_any_is_read(everything):
    with pytest.raises(UserError) as caught:
        prune_ops.check_criteria(["l1", "second_order"], *everything, images=0)
    assert str(caught.value) == (
        "criterion 'second_order' needs at least 1 calibration images, but got 0; give more "
        "training data, or use l1 or fpgm"
    )
    prune_ops.check_criteria(["l1"], *everything, images=0)
