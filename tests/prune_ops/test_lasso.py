"""lasso: when each channel enters the path, against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import Lasso
from torch import nn

import prune_ops
from prune_ops.criteria.contributions import entry_penalties
from spaces.errors import UserError


def contributions(samples, channels, seed):
    """Correlated as the channels of a layer are, of scales far apart."""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(3, channels))
    noise = random.normal(size=(samples, channels)) * random.uniform(0.1, 2, channels)
    return random.normal(size=(samples, 3)) @ directions + noise


def by_descent(x, penalty, columns=slice(None)):
    """β of these columns by scikit-learn, whose objective is ½/N ‖y − xβ‖² + α‖β‖₁."""
    alpha = penalty / len(x)
    solver = Lasso(alpha=alpha, fit_intercept=False, tol=1e-12, max_iter=1_000_000)
    return solver.fit(x[:, columns], x.sum(1)).coef_


@pytest.mark.parametrize("seed", range(6))
def test_a_channel_is_in_use_right_below_its_penalty_and_never_above(seed):
    x = contributions(samples=60, channels=12, seed=seed)
    entry = entry_penalties(x.T @ x)
    assert (entry > 0).all()
    for penalty in entry:
        assert not by_descent(x, penalty * 1.001)[entry <= penalty].any()
        assert by_descent(x, penalty * 0.999)[entry == penalty].all()


def test_raising_the_penalty_to_so_many_channels_keeps_the_highest():
    x = contributions(samples=200, channels=10, seed=1)
    entry = np.sort(entry_penalties(x.T @ x))[::-1]
    for width in range(1, 10):
        kept = np.flatnonzero(by_descent(x, (entry[width - 1] + entry[width]) / 2))
        assert kept.tolist() == sorted(np.argsort(-entry_penalties(x.T @ x))[:width])


def test_orthogonal_channels_are_thresholded_one_by_one():
    # β_c = max(0, 1 − λ/G_cc), whatever the others do; ties come in together.
    assert entry_penalties(np.diag([3.0, 1.0, 2.0, 1.0])).tolist() == [3, 1, 2, 1]
    assert entry_penalties(np.eye(5)).tolist() == [1] * 5


def test_two_channels_by_hand():
    # G1 = (5, 4): the first enters at 5, β₁ = (5 − λ)/4. The second's correlation 4 − β₁ is then
    # 4 − (5 − λ)/4 = λ at λ = 11/3.
    np.testing.assert_allclose(entry_penalties(np.array([[4.0, 1.0], [1.0, 3.0]])), [5, 11 / 3])


def test_of_equal_channels_the_first_stands_for_both():
    # y = 2a + b with a, b orthogonal of length 1: ⟨a, y⟩ = 2.
    gram = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert entry_penalties(gram).tolist() == [2, 0, 1]


def test_channels_that_cancel_are_not_needed():
    # a, −a and b: y = b.
    gram = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert entry_penalties(gram).tolist() == [0, 0, 1]


@settings(deadline=None, max_examples=40)
@given(x=arrays(np.int64, (4, 6), elements=st.integers(-3, 3)), share=st.floats(0.05, 0.95))
def test_no_others_are_needed_where_channels_tie_and_depend_on_each_other(x, share):
    """Whole numbers tie often, and six channels of four samples are never independent."""
    x = x.astype(float)
    entry = entry_penalties(x.T @ x)
    penalty = share * np.abs((x.T @ x).sum(1)).max()

    def objective(columns):
        if penalty == 0 or not columns.any():
            return np.square(x.sum(1)).sum() / 2
        beta = by_descent(x, penalty, columns)
        errors = x.sum(1) - x[:, columns] @ beta
        return np.square(errors).sum() / 2 + penalty * np.abs(beta).sum()

    np.testing.assert_allclose(objective(entry > penalty), objective(entry >= 0), rtol=1e-6)


@given(scale=st.floats(1e-6, 1e6))
def test_a_scale_of_all_channels_changes_no_order(scale):
    x = contributions(samples=30, channels=8, seed=5)
    np.testing.assert_allclose(
        entry_penalties(scale * (x.T @ x)), scale * entry_penalties(x.T @ x), rtol=1e-9
    )


def test_the_matrix_is_left_as_it_was():
    gram = np.array([[4.0, 1.0], [1.0, 3.0]])
    entry_penalties(gram)
    assert gram.tolist() == [[4, 1], [1, 3]]


def score(model, space, batches):
    return prune_ops.score(model, space, batches, ["lasso"], loss=nn.MSELoss())["lasso"]


def test_scores_of_two_channels_by_hand(two_linears):
    # Channel 0 adds 3x to the output and channel 1 −2x, at x = 1, 2, five times each: y = x, and
    # ⟨3x, x⟩ = 3·10·(1 + 4). The second is a multiple of the first.
    inputs = torch.tensor([[1.0], [2.0]])
    samples = prune_ops.contributions.SAMPLES
    assert score(*two_linears, [(inputs, inputs)])["h"].tolist() == [3 * samples * 5, 0]


def test_a_group_that_no_layer_reads_is_named_in_one_line(make_groups):
    space = make_groups(("a", 2, ("weight", 0, "out")), ("b", 2, ("weight", 1, "in")))
    inputs = torch.ones(1, 2)
    with pytest.raises(UserError, match=r"'lasso' needs a convolution .* there is none for a; use"):
        score(nn.Linear(2, 2), space, [(inputs, inputs)])


def test_contributions_that_are_not_finite_are_one_line(two_linears):
    inputs = torch.tensor([[torch.inf]])
    with pytest.raises(UserError, match="'lasso' gave nan or inf in h; check that the weights"):
        score(*two_linears, [(inputs, inputs)])
