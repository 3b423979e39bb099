"""A new way to compress is one class and one line in the table: all else follows from it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import prune_ops
import results
from prune_ops import WAYS, Compression, Size, Way
from prune_ops.weights import WeightTransform, reweighted
from spaces import UserError


class Sign(WeightTransform):
    def forward(self, weight):
        return weight.sign().detach() + (weight - weight.detach())


class Binary(Way):
    """Signs, one bit per weight."""

    name = "binary"
    label = "two values for each weight"
    note = "Binary weights are -1 or 1."

    def compressed(self, model, zeros):  # noqa: ARG002
        return reweighted(model, lambda weights: [Sign() for _ in weights])

    def stored_bytes(self, weight):
        return -(-weight.numel() // 8)


@pytest.fixture
def binary(monkeypatch):
    monkeypatch.setitem(WAYS, "binary", Binary())
    return Compression("binary")


def test_a_way_added_to_the_table_compresses_trains_and_is_measured(binary):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 2))
    small = binary.of(model)
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1)
    before = [parameter.clone() for parameter in small.parameters()]
    small(torch.randn(4, 20)).square().mean().backward()
    optimizer.step()
    assert not any(map(torch.equal, before, small.parameters()))
    plain = prune_ops.without_parametrization(small)
    assert {weight.abs().unique().item() for weight in prune_ops.layer_weights(plain)} == {1.0}
    assert binary.size(small) == Size(200 + 20 + 12, 25 + 3 + 4 * 12)


def test_an_unknown_way_names_the_nearest():
    with pytest.raises(UserError, match="unknown way to compress 'magnitud', did you mean 'magni"):
        Compression("magnitud", 0.5)


@pytest.mark.parametrize("name", WAYS)
def test_every_way_has_the_words_that_the_report_needs(name):
    way = WAYS[name]
    assert way.name == name
    assert way.label
    assert "\n" not in way.label
    assert way.note.endswith(".")


def test_the_report_says_the_same_of_runs_that_do_not_quote_the_words():
    for name, way in WAYS.items():
        assert (said := results.compression.WAYS.get(name)) is None or (
            (said.label, said.note) == (way.label, way.note)
        ), name


def test_which_ways_take_a_share_of_zeros():
    assert {name for name, way in WAYS.items() if way.needs_zeros} == {"magnitude"}
