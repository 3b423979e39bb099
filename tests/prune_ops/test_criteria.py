"""Every criterion's closed form, with the numbers worked out in the test."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import prune_ops
from spaces.errors import UserError

X = torch.tensor([[1.0], [2.0]])
Y = torch.zeros(2, 1)


def half_square(outputs, targets):
    return (outputs - targets).square().mean() / 2


def values(model, space, criterion, batches=(), **options):
    scores = prune_ops.score(model, space, batches, [criterion], **options)[criterion]
    return {name: score.tolist() for name, score in scores.items()}


def test_taylor_of_one_minibatch(two_linears):
    # y = 1, 2 and dL/dy = y, so dL/dw1 = (3, -1)·x·y: (3, -1) and (12, -4), mean (7.5, -2.5).
    # g·w = (7.5·1, -2.5·2), squared.
    found = values(*two_linears, "taylor_2019", [(X, Y)], loss=half_square)
    assert found == {"h": [56.25, 25.0]}


def test_taylor_averages_the_squares_of_minibatches(two_linears):
    # g·w = (3, -2) for x = 1 and (12, -8) for x = 2: (9 + 144) / 2 and (4 + 64) / 2.
    batches = [(X[:1], Y[:1]), (X[1:], Y[1:])]
    assert values(*two_linears, "taylor_2019", batches, loss=half_square) == {"h": [76.5, 34.0]}


@pytest.mark.parametrize("sizes", [[2], [1, 1]])
def test_second_order_is_over_samples_however_they_are_batched(two_linears, sizes):
    # h1 = ((9 + 144) / 2, (1 + 16) / 2) = (76.5, 8.5), h1·w1² = (76.5, 34)
    # h2 = ((1 + 16) / 2, (4 + 64) / 2) = (8.5, 34), h2·w2² = (76.5, 34); half of their sum.
    batches = list(zip(X.split(sizes), Y.split(sizes), strict=True))
    found = values(*two_linears, "second_order", batches, loss=half_square)
    assert found == {"h": [76.5, 34.0]}


def test_l1_and_l2_take_filters_only(make_groups):
    model = nn.Sequential(nn.Conv2d(1, 2, (1, 2)), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, -4.0], [0.0, 2.0]]).view(2, 1, 1, 2))
    places = [("0.weight", 0, "out"), ("0.bias", 0, "out"), ("1.weight", 0, "norm")]
    space = make_groups(("0", 2, *places, ("2.weight", 1, "in")))
    assert values(model, space, "l1") == {"0": [7, 2]}
    assert values(model, space, "l2") == {"0": [5, 2]}


def test_l1_and_l2_sum_over_the_filters_of_a_stream(make_groups):
    model = nn.ModuleDict({"stem": nn.Linear(1, 2), "block": nn.Linear(1, 2)})
    with torch.no_grad():
        model["stem"].weight.copy_(torch.tensor([[3.0], [1.0]]))
        model["block"].weight.copy_(torch.tensor([[-4.0], [0.0]]))
    space = make_groups(("stem", 2, ("stem.weight", 0, "out"), ("block.weight", 0, "out")))
    assert values(model, space, "l1") == {"stem": [7, 1]}
    assert values(model, space, "l2") == {"stem": [5, 1]}


def test_fpgm_adds_up_distances(make_groups):
    # (0, 0), (3, 4) and (6, 8) lie 5 apart in a row: 5 + 10, 5 + 5, 10 + 5. The middle one goes.
    model = nn.Conv2d(1, 3, (1, 2))
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]).view(3, 1, 1, 2))
    space = make_groups(("", 3, ("weight", 0, "out"), ("bias", 0, "out")))
    assert values(model, space, "fpgm") == {"": [15, 10, 15]}


def test_fpgm_takes_the_filters_of_a_stream_as_one(make_groups):
    # (0, 0) and (3, 4) of both layers together: 5, and not 3 + 4.
    model = nn.ModuleDict({"stem": nn.Linear(1, 2), "block": nn.ConvTranspose2d(1, 2, 1)})
    with torch.no_grad():
        model["stem"].weight.copy_(torch.tensor([[0.0], [3.0]]))
        model["block"].weight.copy_(torch.tensor([0.0, -4.0]).view(1, 2, 1, 1))
    space = make_groups(("stem", 2, ("stem.weight", 0, "out"), ("block.weight", 1, "out")))
    assert values(model, space, "fpgm") == {"stem": [5, 5]}


def test_fpgm_against_a_loop_over_pairs(make_groups):
    model = nn.Conv2d(7, 30, 3)
    space = make_groups(("", 30, ("weight", 0, "out")))
    filters = [filter.flatten() for filter in model.weight.detach()]
    wanted = torch.tensor([sum((a - b).norm().item() for b in filters) for a in filters])
    [found] = prune_ops.score(model, space, (), ["fpgm"])["fpgm"].values()
    torch.testing.assert_close(found, wanted)


def test_weight_sum_is_l1_by_another_name(two_linears):
    scores = prune_ops.score(*two_linears, (), ["weight_sum", "l1"])
    assert list(scores) == ["weight_sum", "l1"]
    assert scores["weight_sum"]["h"].tolist() == scores["l1"]["h"].tolist() == [1, 2]


def test_l1_of_a_transposed_convolution_reads_its_second_dim(make_groups):
    model = nn.ConvTranspose2d(1, 2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([-2.0, 5.0]).view(1, 2, 1, 1))
    space = make_groups(("", 2, ("weight", 1, "out"), ("bias", 0, "out")))
    assert values(model, space, "l1") == {"": [2, 5]}


def test_bn_scale_averages_over_the_norms(make_groups):
    model = nn.ModuleDict({"a": nn.BatchNorm2d(2), "b": nn.BatchNorm2d(2)})
    with torch.no_grad():
        model["a"].weight.copy_(torch.tensor([1.0, -3.0]))
        model["b"].weight.copy_(torch.tensor([-2.0, 0.0]))
    places = [(f"{n}.{p}", 0, "norm") for n in "ab" for p in ("weight", "bias", "running_var")]
    assert values(model, make_groups(("a", 2, *places)), "bn_scale") == {"a": [1.5, 1.5]}


def test_bn_scale_names_the_groups_without_batchnorm(make_groups):
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3), nn.LayerNorm(3))
    space = make_groups(
        ("0", 2, ("0.weight", 0, "norm")),
        ("1", 3, ("1.weight", 0, "out"), ("2.weight", 0, "norm")),
    )
    with pytest.raises(UserError) as caught:
        values(model, space, "bn_scale")
    assert str(caught.value) == (
        "criterion 'bn_scale' needs a BatchNorm with a scale in every group, but there is none in "
        "1; use l1, fpgm, taylor_2019 or second_order"
    )


def test_bn_scale_names_six_of_many_groups(make_groups):
    groups = [(f"g{i}", 2, ("weight", 0, "out")) for i in range(9)]
    with pytest.raises(UserError, match="none in g0, g1, g2, g3, g4, g5 and 3 more; use l1"):
        values(nn.Linear(2, 2), make_groups(*groups), "bn_scale")


def test_random_depends_on_seed_and_name_alone(two_linears, make_groups):
    model, _ = two_linears
    wide = make_groups(("h", 4, ("0.weight", 0, "out")), ("i", 4, ("0.weight", 0, "out")))
    both = values(model, wide, "random", seed=1)
    alone = values(model, make_groups(("i", 4, ("0.weight", 0, "out"))), "random", seed=1)
    assert both["i"] == alone["i"]
    assert both["h"] != both["i"]
    assert both != values(model, wide, "random", seed=2)
    assert all(0 <= score < 1 for score in both["h"])


def test_which_criteria_share_a_unit_across_groups():
    comparable = {name for name, criterion in prune_ops.CRITERIA.items() if criterion.comparable}
    assert comparable == {
        *("apoz", "bn_scale", "taylor_2016", "taylor_2019"),
        *("second_order", "second_order_hutchinson", "obs"),
    }


def images(seed=0, count=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 6, 6, generator=generator), torch.arange(count) % 16


DRAWN = {"random", "second_order_hutchinson"}
"""What these draw belongs to places."""


@settings(deadline=None, max_examples=10)
@given(order=st.permutations(range(6)))
@pytest.mark.parametrize(
    "criterion", [name for name in prune_ops.CRITERIA if name not in {"weight_sum", *DRAWN}]
)
def test_permuting_channels_permutes_scores(fresh_conv_bn_conv, criterion, order):
    model, space = fresh_conv_bn_conv()
    before = prune_ops.score(model, space, [images()], [criterion])[criterion]["0"]
    permute(model, order)
    after = prune_ops.score(model, space, [images()], [criterion])[criterion]["0"]
    torch.testing.assert_close(after, before[order], rtol=1e-4, atol=0)


def permute(model, order):
    for owner, dim in ((model[0], 0), (model[1], 0), (model[3], 1)):
        tensors = {**owner._parameters, **owner._buffers} if dim == 0 else {"w": owner.weight}
        for tensor in tensors.values():
            if tensor.ndim:
                tensor.data = tensor.data.index_select(dim, torch.tensor(order))


@settings(deadline=None, max_examples=10)
@given(factor=st.floats(0.1, 10))
@pytest.mark.parametrize("criterion", ["second_order", "second_order_hutchinson", "taylor_2019"])
def test_loss_based_scores_ignore_how_scale_is_shared(fresh_conv_bn_conv, criterion, factor):
    """ReLU lets a positive factor move from the norm to the next layer; the function stays."""
    model, space = fresh_conv_bn_conv()
    before = prune_ops.score(model, space, [images()], [criterion])[criterion]["0"]
    with torch.no_grad():
        model[1].weight *= factor
        model[1].bias *= factor
        model[3].weight /= factor
    after = prune_ops.score(model, space, [images()], [criterion])[criterion]["0"]
    torch.testing.assert_close(after, before, rtol=1e-3, atol=0)


@settings(deadline=None, max_examples=5)
@given(factor=st.floats(0.1, 10))
@pytest.mark.parametrize(
    "criterion", [name for name in prune_ops.CRITERIA if name not in {"random", "weight_sum"}]
)
def test_a_convolution_before_a_batchnorm_is_free_of_scale(fresh_conv_bn_conv, criterion, factor):
    """The BatchNorm takes a factor out again; raw norms are compared in shares of their mean."""
    model, space = fresh_conv_bn_conv()
    model[1].eps = 0

    def shares():
        scores = prune_ops.score(model, space, [images()], [criterion])[criterion]
        comparable = prune_ops.CRITERIA[criterion].comparable
        return (scores if comparable else prune_ops.normalised(scores))["0"]

    before = shares()
    with torch.no_grad():
        model[0].weight *= factor
        model[0].bias *= factor
        model[1].running_mean *= factor
        model[1].running_var *= factor**2
    torch.testing.assert_close(shares(), before, rtol=1e-3, atol=0)


@given(factor=st.floats(0.01, 100))
def test_normalised_scores_ignore_the_scale_of_a_layer(factor):
    raw = torch.tensor([1.0, 2.0, 3.0])
    shares = prune_ops.normalised({"a": raw, "b": raw * factor})
    torch.testing.assert_close(shares["a"], torch.tensor([0.5, 1.0, 1.5]))
    torch.testing.assert_close(shares["b"], shares["a"])


def test_normalised_zeros_stay_zeros():
    assert prune_ops.normalised({"a": torch.zeros(2)})["a"].tolist() == [0, 0]
