"""second_order_hutchinson: probes of the Hessian against the Hessian itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

import prune_ops
from prune_ops.collecting import collect
from prune_ops.collectors.gradients import DRAWS
from spaces.errors import UserError

NAME = "second_order_hutchinson"


def curvature(model, space, batches, **options):
    stats, _ = collect(model, space, batches, frozenset({"curvature"}), **options)
    return stats.curvature


class Twice(nn.Module):
    """Smooth, with one layer that is used twice, under two names."""

    def __init__(self):
        super().__init__()
        self.stem, self.twice = nn.Linear(2, 3), nn.Linear(3, 3)
        self.head = nn.Linear(3, 2, bias=False)
        self.alias = self.twice

    def forward(self, x):
        return self.head(self.alias(self.twice(self.stem(x).tanh()).tanh()).tanh())


@pytest.fixture
def twice(make_groups):
    torch.manual_seed(0)
    model = Twice()
    made = ("stem.weight", "stem.bias", "twice.weight", "twice.bias")
    places = [(name, 0, "out") for name in made]
    places += [("alias.weight", 1, "in"), ("head.weight", 1, "in")]
    return model, make_groups(("stem", 3, *places))


def images(count):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 2, generator=generator), torch.arange(count) % 2


def hessians(model, inputs, targets):
    """By relative change of the weights, one of every image: ``(images, weights, weights)``."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])

    def loss(change, image, target):
        parts = (flat * change).split([shape.numel() for shape in shapes.values()])
        weights = {n: v.view(s) for (n, s), v in zip(shapes.items(), parts, strict=True)}
        return cross_entropy(functional_call(model, weights, (image[None],)), target[None])

    def of(image, target):
        return torch.autograd.functional.hessian(
            lambda change: loss(change, image, target), torch.ones_like(flat)
        )

    return torch.stack([of(*pair) for pair in zip(inputs, targets, strict=True)])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_diagonal_of_the_hessian_within_the_error_of_its_probes(twice, seed):
    """A probe sees Σ_j v_i v_j h_ij w_i w_j: the diagonal, and the row as noise of mean zero."""
    model, space = twice
    inputs, targets = images(16)
    found = curvature(model, space, [(inputs, targets)], seed=seed)
    assert torch.equal(found["alias.weight"], found["twice.weight"])
    exact = hessians(model, inputs, targets)
    noise = (exact.square().sum(2) - exact.diagonal(dim1=1, dim2=2).square()).sum(0)
    error = noise.sqrt() / (len(inputs) * DRAWS**0.5)
    flat = torch.cat([found[name].flatten() for name, _ in model.named_parameters()])
    off = (flat - exact.mean(0).diagonal()) / error
    assert off.abs().max() < 4
    assert 0.5 < off.square().mean() < 2


class Apart(nn.Module):
    """x·w³ + b², so that no weight knows of another."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.bias = nn.Parameter(torch.tensor([3.0, 1.0]))

    def forward(self, x):
        return x * self.weight**3 + self.bias**2


@pytest.mark.parametrize("seed", range(3))
def test_every_probe_is_exact_where_the_hessian_is_diagonal(make_groups, seed):
    # h = 6xw for w, 2 for b; over x = 0.5, 1.5 the mean of h·w² is 6w³ = 6, −48, and 2b² = 18, 2.
    # What is negative counts as zero: half of 6 + 18 and of 0 + 2.
    space = make_groups(("", 2, ("weight", 0, "out"), ("bias", 0, "out")))
    data = [(torch.tensor([[0.5], [1.5]]), torch.zeros(2))]
    options = {"loss": lambda outputs, _: outputs.sum(), "seed": seed}
    found = curvature(Apart(), space, data, **options)
    assert {n: v.tolist() for n, v in found.items()} == {"weight": [6, -48], "bias": [18, 2]}
    assert prune_ops.score(Apart(), space, data, [NAME], **options)[NAME][""].tolist() == [12, 1]


def test_a_loss_without_curvature_scores_zero(make_groups):
    data = [(torch.ones(2, 3), torch.zeros(2))]
    space = make_groups(("", 2, ("weight", 0, "out")))
    options = {"loss": lambda outputs, _: outputs.sum()}
    assert prune_ops.score(nn.Linear(3, 2), space, data, [NAME], **options)[NAME][""].sum() == 0


def test_neither_batches_nor_other_criteria_change_it(twice):
    inputs, targets = images(6)
    apart = list(zip(inputs.split(4), targets.split(4), strict=True))
    alone = prune_ops.score(*twice, [(inputs, targets)], [NAME], seed=1)
    others = ["taylor_2019", NAME, "second_order"]
    among = prune_ops.score(*twice, apart, others, seed=1)
    assert torch.equal(alone[NAME]["stem"], among[NAME]["stem"])
    for name in ("taylor_2019", "second_order"):
        wanted = prune_ops.score(*twice, apart, [name])[name]
        assert torch.equal(among[name]["stem"], wanted["stem"])


class Attention(nn.Sequential):
    """Three tokens that attend to each other; the quick kernels cannot be differentiated twice."""

    def __init__(self):
        super().__init__(nn.Linear(2, 12), nn.Linear(4, 2))

    def forward(self, x):
        tokens = self[0](x).view(len(x), 1, 3, 4)
        return self[1](scaled_dot_product_attention(tokens, tokens, tokens).mean((1, 2)))


def test_attention_has_second_derivatives(make_groups):
    space = make_groups(("0", 12, ("0.weight", 0, "out")))
    scores = prune_ops.score(Attention(), space, [images(4)], [NAME])[NAME]["0"]
    assert scores.max() > scores.min() >= 0


class OnceOnly(nn.Linear):
    """Passes through an operation whose backward torch cannot differentiate."""

    def forward(self, x):
        values = super().forward(x)
        lengths = torch.ones(values.numel(), dtype=torch.long)
        return torch.segment_reduce(values.flatten(), "sum", lengths=lengths).view_as(values)


def test_without_second_derivatives_it_says_what_would_work(make_groups):
    model, space = OnceOnly(2, 3), make_groups(("", 3, ("weight", 0, "out")))
    batch = torch.ones(2, 2), torch.tensor([0, 1])
    chosen = ["second_order", NAME]
    for check in (
        lambda: prune_ops.score(model, space, [batch], chosen),
        lambda: prune_ops.check_criteria(chosen, model, space, example=(torch.ones(1, 2),)),
    ):
        with pytest.raises(UserError) as caught:
            check()
        assert str(caught.value) == (
            "criterion 'second_order_hutchinson' needs second derivatives of the loss by the "
            "weights, but there are none (derivative for aten::_segment_reduce_backward is not "
            "implemented); use l1, fpgm, taylor_2019 or second_order"
        )
    prune_ops.check_criteria(["second_order"], model, space, example=(torch.ones(1, 2),))
