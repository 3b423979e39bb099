"""Metrics by hand: means over items, numbers a batch, accumulated ones; lower as well as higher."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tape import Waits
from torch import Tensor, nn

from search.errors import Diverged
from search.training.objective import ACCURACY, Accumulated, Metric
from spaces.errors import UserError

BATCHES = [(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0.0, 0.0, 0.0])),
           (torch.tensor([[7.0]]), torch.tensor([1.0]))]  # fmt: skip
SAME = nn.Identity()


def error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.squeeze(1) - targets).abs()


@pytest.mark.parametrize(
    ("measure", "mean"),
    [
        (error, (1 + 2 + 3 + 6) / 4),
        (lambda o, t: error(o, t).mean(), (1 + 2 + 3 + 6) / 4),
        (lambda o, t: float(error(o, t).max()), (3 * 3 + 6) / 4),
    ],
)
def test_items_weigh_alike_whatever_their_batches_are(measure: Any, mean: float) -> None:
    assert Metric("error", measure, higher_is_better=True).score(SAME, BATCHES) == pytest.approx(
        mean
    )


def test_a_number_for_each_batch_is_read_back_for_all_at_once() -> None:
    metric = Metric("error", lambda o, t: error(o, t).mean(), higher_is_better=False)
    counts = []
    for times in (1, 5):
        with Waits() as waits:
            metric.score(SAME, BATCHES * times)
        counts.append(waits.count)
    assert counts[0] == counts[1] > 0


def test_where_lower_is_better_the_score_is_its_opposite() -> None:
    assert Metric("error", error, higher_is_better=False).score(SAME, BATCHES) == pytest.approx(-3)


class RootMeanSquare:
    def reset(self) -> None:
        self.sum, self.count = 0.0, 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.sum += float(error(outputs, targets).square().sum())
        self.count += len(targets)

    def compute(self) -> float:
        return (self.sum / self.count) ** 0.5


def test_an_accumulated_metric_sees_all_batches_of_one_call_alone() -> None:
    metric = Metric("RMSE", RootMeanSquare(), higher_is_better=False, unit="m")
    assert isinstance(metric.measure, Accumulated)
    expected = -(((1 + 4 + 9 + 36) / 4) ** 0.5)
    assert metric.score(SAME, BATCHES) == pytest.approx(expected)
    assert metric.score(SAME, BATCHES) == pytest.approx(expected)


def test_accuracy_takes_labels_alone_and_in_a_batch() -> None:
    logits, labels = torch.eye(4)[:, :3], torch.tensor([0, 1, 2, 1])
    assert ACCURACY.score(SAME, [(logits, labels)]) == 0.75
    assert ACCURACY.score(SAME, [(logits, (logits, labels))]) == 0.75


@pytest.mark.parametrize("make", [lambda x: x, lambda x: {"a": x, "b": torch.zeros(len(x))}])
def test_outputs_that_are_nan_have_no_metric(make: Any) -> None:
    class Out(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return make(x)

    inputs = torch.tensor([[1.0], [float("nan")], [3.0]])
    batches = [(inputs, torch.zeros(3)), (inputs[:1], torch.zeros(1))]
    with pytest.raises(Diverged, match="NaN for 1 of 4"):
        Metric("m", lambda _o, _t: 0.0, higher_is_better=True).score(Out(), batches)


def test_a_metric_that_fails_is_one_line_that_names_it() -> None:
    def wrong(_outputs: Any, _targets: Any) -> Any:
        raise KeyError("boxes")

    with pytest.raises(UserError, match=r"metric 'mAP' must take .*boxes") as told:
        Metric("mAP", wrong, higher_is_better=True).score(SAME, BATCHES)
    assert "\n" not in str(told.value)


def test_a_metric_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1 item"):
        ACCURACY.score(SAME, [])


def test_numbers_that_are_none_for_each_item_are_refused() -> None:
    """Errors of pixels, say: their sum over items would be no mean."""
    pixels = Metric("error", lambda o, _: o.expand(-1, 5), higher_is_better=False)
    with pytest.raises(UserError, match=r"for each of the 3 items .* gives \(3, 5\)"):
        pixels.score(SAME, BATCHES)
