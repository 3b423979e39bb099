"""Flops and params: counts worked out by hand, and vectorised evaluation."""

import numpy as np
import torch
from networks import Depthwise, Plain, Transposed

import spaces

INPUT = (torch.zeros(1, 3, 8, 8),)


def test_plain_network_by_hand():
    space = spaces.discover(Plain(), INPUT)
    a, b, area = 5, 12, 8 * 8
    flops = 9 * 3 * a * area + 9 * a * b * area + b * 10
    params = (9 * 3 * a + 2 * a) + (9 * a * b + 2 * b) + (b * 10 + 10)
    assert space.flops(np.array([a, b])) == flops
    assert space.params(np.array([a, b])) == params


def test_depthwise_with_multiplier_by_hand():
    space = spaces.discover(Depthwise(), INPUT)
    a, point, area = 6, 10, 8 * 8
    flops = 27 * a * area + 9 * 2 * a * area + 2 * a * point * area + point * 10
    assert space.flops(np.array([a, point])) == flops


def test_transposed_by_hand():
    space = spaces.discover(Transposed(), INPUT)
    a, up, grouped = 10, 3, 2  # kept per group of 4 in ``up`` and ``grouped``
    flops = (
        27 * a * 8**2
        + a * (4 * up) * 4 * 8**2
        + (4 * up) * grouped * 4 * 16**2
        + (4 * grouped) * 9 * 32**2
        + 4 * grouped * 10
    )
    assert space.flops(np.array([a, up, grouped])) == flops


def test_many_policies_at_once_equal_one_by_one():
    space = spaces.discover(Plain(), INPUT)
    rng = np.random.default_rng(0)
    widths = np.stack([rng.integers(1, g.channels + 1, size=50) for g in space.groups], axis=1)
    many = space.flops(widths)
    assert many.shape == (50,)
    assert many.dtype == np.int64
    assert many.tolist() == [space.flops(w) for w in widths]
    assert space.params(widths).tolist() == [space.params(w) for w in widths]


def test_batch_of_the_example_does_not_count():
    assert (
        spaces.discover(Plain(), (torch.zeros(4, 3, 8, 8),)).full_flops
        == spaces.discover(Plain(), INPUT).full_flops
    )
