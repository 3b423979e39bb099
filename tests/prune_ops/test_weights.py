"""Weights that go through something: which they are, sharing, and the plain network afterwards."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from devices import DEVICES
from networks import SMALL
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from prune_ops import Compression, layer_weights, sparsified, ternarised, without_parametrization
from prune_ops.weights import WeightTransform, reweighted
from spaces import ModelError

NETWORKS = ("Residual", "Grouped", "Shared", "Depthwise", "Transposed", "ScaleNorm")


class Doubled(WeightTransform):
    def forward(self, weight):
        return 2 * weight


def doubled(model):
    return reweighted(model, lambda weights: [Doubled() for _ in weights])


class Tied(nn.Module):
    """An embedding, attention, and a linear layer with the embedding's weight."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.look = nn.MultiheadAttention(4, 2, batch_first=True)
        self.out = nn.Linear(4, 5, bias=False)
        self.out.weight = self.words.weight

    def forward(self, x):
        y = self.words(x)
        return self.out(self.look(y, y, y)[0])


def test_weights_of_layers_are_matrices_and_shared_ones_are_there_once():
    model = nn.Sequential(nn.Conv2d(3, 4, 2, groups=1), nn.BatchNorm2d(4), nn.Linear(2, 3))
    assert [tuple(w.shape) for w in layer_weights(model)] == [(4, 3, 2, 2), (3, 2)]
    tied = Tied()
    assert [id(w) for w in layer_weights(tied)] == [
        id(w) for w in (tied.look.in_proj_weight, tied.look.out_proj.weight, tied.words.weight)
    ]
    computed = nn.Sequential(weight_norm(nn.Linear(2, 3)), nn.Linear(3, 1))
    assert [tuple(w.shape) for w in layer_weights(computed)] == [(1, 3)]


def test_a_shared_weight_goes_through_once_wherever_it_is_used():
    torch.manual_seed(0)
    model, x = Tied().eval(), torch.tensor([[1, 2, 4]])
    twice = doubled(model)
    by_hand = copy.deepcopy(model)
    with torch.no_grad():
        for weight in layer_weights(by_hand):
            weight.mul_(2)
    torch.testing.assert_close(twice(x), by_hand(x))
    plain = without_parametrization(twice)
    assert plain.out.weight is plain.words.weight
    torch.testing.assert_close(plain.words.weight, 2 * model.words.weight)
    assert sum(p.numel() for p in twice.parameters()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("compression", [Compression("magnitude", 0.6), Compression("ternary")])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_model_is_untouched_and_baking_changes_nothing_but_the_names(
    network, compression, device
):
    torch.manual_seed(0)
    model = SMALL[network]().to(device).eval()
    x = torch.randn(2, 3, 8, 8, device=device)
    with torch.no_grad():
        said, before = model(x), copy.deepcopy(model.state_dict())
        small = compression.of(model)
        compressed = small(x)
        plain = without_parametrization(small)
        assert torch.equal(plain(x), compressed)
        assert torch.equal(small(x), compressed)  # baking a copy left it alone
        assert torch.equal(model(x), said)
        assert not torch.equal(compressed, said)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert sorted(plain.state_dict()) == sorted(before)
    assert {type(m) for m in plain.modules()} == {type(m) for m in model.modules()}
    assert pickle.loads(pickle.dumps(compression)) == compression


def test_what_is_not_ours_stays_where_it_was():
    model = nn.Sequential(weight_norm(nn.Linear(2, 3)), nn.Linear(3, 1))
    for small in (sparsified(model, 0.5), ternarised(model)):
        assert sorted(without_parametrization(small).state_dict()) == sorted(model.state_dict())
        assert torch.equal(without_parametrization(small)[0].weight, model[0].weight)


def test_a_network_without_weights_is_refused():
    with pytest.raises(ModelError, match="must have weights of convolutions or linear layers"):
        sparsified(nn.BatchNorm1d(3), 0.5)
