"""Which weights are a channel's: sums worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prune_ops.channels import PRODUCERS, channel_sums, filters, pair_sums, weights
from spaces.groups import ChannelGroup, Member


def member(parameter, dim, kind="out", index=(0, 1)):
    """``index`` of one place a channel, or of several where it is nested."""
    return Member(parameter, dim, np.array(index).reshape(len(index), -1), kind)


def group(*members):
    return ChannelGroup("g", 2, members, (1, 2))


def test_rows_of_a_filter():
    values = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    rows = group(member("w", 0))
    assert channel_sums(rows, rows.members, values).tolist() == [3, 7]


def test_input_slices_of_a_flattened_map():
    values = {"w": torch.tensor([[1.0, 2.0, 4.0, 8.0], [1.0, 1.0, 1.0, 1.0]])}
    flat = group(member("w", 1, "in", [[0, 1], [2, 3]]))
    assert channel_sums(flat, flat.members, values).tolist() == [5, 14]


def test_members_are_summed():
    values = {"w": torch.ones(2, 3, 1, 1), "b": torch.tensor([10.0, 20.0])}
    both = group(member("w", 0), member("b", 0))
    assert channel_sums(both, both.members, values).tolist() == [13, 23]


def test_where_a_row_meets_a_column_counts_once():
    values = {"w": torch.tensor([[1.0, 2.0], [4.0, 8.0]])}
    stream = group(member("w", 1, "in"), member("w", 0, "out"))
    assert channel_sums(stream, stream.members, values).tolist() == [1 + 2 + 4, 2 + 4 + 8]


@pytest.mark.parametrize("seed", range(3))
def test_the_union_over_three_dims_equals_a_mask(seed):
    values = {"w": torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(seed))}
    index = {0: [[0, 3], [1, 2]], 1: [0, 1], 2: [2, 0]}
    cube = group(*(member("w", dim, "out", places) for dim, places in index.items()))
    for channel, total in enumerate(channel_sums(cube, cube.members, values)):
        mask = torch.zeros(4, 2, 3, dtype=torch.bool)
        mask[np.atleast_1d(index[0][channel])] = True
        mask[:, index[1][channel]] = True
        mask[:, :, index[2][channel]] = True
        torch.testing.assert_close(total, values["w"][mask].sum())


def test_no_members_sum_to_zero():
    assert channel_sums(group(), [], {}).tolist() == [0, 0]


def test_buffers_are_no_weights():
    norm = group(member("bn.weight", 0, "norm"), member("bn.running_var", 0, "norm"))
    found = weights(norm, {"bn.weight": torch.ones(2)})
    assert [m.parameter for m in found] == ["bn.weight"]


def test_one_parameter_with_two_names_is_listed_once_a_dim():
    shared = torch.ones(2, 2)
    both = group(*(member(name, dim) for dim in (0, 1) for name in ("first", "second")))
    found = weights(both, {"first": shared, "second": shared})
    assert [(m.parameter, m.dim) for m in found] == [("first", 0), ("first", 1)]


def test_producers_leave_out_the_consumers():
    mixed = group(*(member(kind, 0, kind) for kind in ("out", "in", "norm", "scale")))
    parameters = {kind: torch.ones(2) for kind in ("out", "in", "norm", "scale")}
    assert [m.kind for m in weights(mixed, parameters, PRODUCERS)] == ["out", "norm", "scale"]


def test_filters_have_no_biases():
    conv = group(member("conv.weight", 0), member("conv.bias", 0), member("next.weight", 1, "in"))
    parameters = {
        "conv.weight": torch.ones(2, 1, 3, 3),
        "conv.bias": torch.ones(2),
        "next.weight": torch.ones(3, 2),
    }
    assert [m.parameter for m in filters(conv, parameters)] == ["conv.weight"]


def test_a_group_without_filters_is_judged_by_its_other_weights():
    token = group(member("token", 2, "scale"), member("next.weight", 1, "in"))
    parameters = {"token": torch.ones(1, 1, 2), "next.weight": torch.ones(3, 2)}
    assert [m.parameter for m in filters(token, parameters)] == ["token", "next.weight"]


@pytest.mark.parametrize("swapped", [False, True])
def test_kernels_between_two_groups(swapped):
    """Two filters on three inputs, of which one channel owns two; transposed the dims swap."""
    values = torch.arange(12.0).view(2, 3, 1, 2)  # kernel sums (1, 5, 9) and (13, 17, 21)
    values = values.transpose(0, 1) if swapped else values
    rows = member("w", int(swapped), "out", (1, 0))
    columns = member("w", int(not swapped), "in", [[0, 2], [1, 1]])
    assert pair_sums(values, rows, columns).tolist() == [[34, 34], [10, 10]]
