"""Sizes: bytes counted by hand for every encoding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prune_ops import WAYS, Compression, Size, size, sparsified, ternarised

SPARSE, TERNARY = WAYS["magnitude"].stored_bytes, WAYS["ternary"].stored_bytes


def linear(rows: int, columns: int, nonzero: int) -> nn.Linear:
    """A layer without bias of which only so many weights are not zero."""
    layer = nn.Linear(columns, rows, bias=False)
    with torch.no_grad():
        layer.weight.zero_().view(-1)[:nonzero] = 1.0
    return layer


def test_dense_is_four_bytes_for_each_parameter_and_running_statistic():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 10))
    parameters = 8 * 27 + 8 + 2 * 8 + 8 * 10 + 10
    # num_batches_tracked, an integer, is of no use to the network.
    assert size(model) == Size(parameters, 4 * (parameters + 2 * 8))


@pytest.mark.parametrize(
    ("rows", "columns", "nonzero", "stored"),
    [
        (10, 100, 200, 800 + 125),  # bitmap: 1000 bits; CSR would be 44 + 200
        (10, 100, 50, 200 + 44 + 50),  # CSR: 11 starts, one byte a column number; a bitmap: 125
        (2, 300, 10, 40 + 12 + 20),  # CSR with numbers of two bytes; a bitmap: 75
        (10, 100, 990, 4000),  # float32 for all of it; a bitmap: 3960 + 125
        (3, 3, 2, 8 + 2),  # 9 bits are 2 bytes
        (2, 2, 0, 0 + 1),
    ],
)
def test_sparse_takes_the_smallest_of_bitmap_csr_and_float32(rows, columns, nonzero, stored):
    assert size(linear(rows, columns, nonzero), SPARSE) == Size(nonzero, stored)


def test_each_layer_is_stored_for_itself_and_biases_are_float32():
    model = nn.Sequential(linear(10, 100, 200), nn.Linear(10, 2))
    assert size(model, SPARSE) == Size(200 + 22, (800 + 125) + 4 * 20 + 4 * 2)


def test_ternary_takes_two_bits_a_weight_and_one_alpha_a_layer():
    model = nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3), nn.Linear(3, 2, bias=False))
    # 30 bits are 4 bytes, 12 bits 2.
    assert size(model, TERNARY).bytes == (4 + 4) + 4 * 3 + 4 * 6 + (2 + 4)


def test_a_network_that_is_still_compressed_has_the_size_of_what_it_computes_with():
    model = nn.Linear(100, 10)
    assert size(sparsified(model, 0.8), SPARSE) == Size(200 + 10, 800 + 125 + 40)
    assert Compression("magnitude", 0.8).size(sparsified(model, 0.8)).nonzero == 210
    with torch.no_grad():
        model.weight.copy_(torch.tensor([2.0, -1.0, 0.5, 4.0]).repeat(250).view(10, 100))
    assert Compression("ternary").size(ternarised(model)) == Size(500 + 10, 250 + 4 + 40)


def test_a_shared_weight_is_stored_once():
    first = nn.Linear(4, 4, bias=False)
    second = nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    assert size(nn.Sequential(first, second)) == Size(16, 64)
