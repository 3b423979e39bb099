"""synflow and jacob_cov: closed forms by hand, conservation, and a loop over Jacobians."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import prune_ops
from prune_ops.proxies.data_free import synaptic_scores
from prune_ops.proxies.jacob_cov import K
from spaces import UserError


def proxy(name, pruned, inputs):
    calibration = [(inputs, torch.zeros(len(inputs)).long())]
    candidate = prune_ops.PrunedCandidate(None, None, None, pruned, calibration, ())
    return prune_ops.PROXIES[name](candidate)


def test_synflow_by_hand(two_linears):
    # Two paths of |1 · 3| and |2 · -1|: R = 5, and each of the two layers has all of it.
    model, _ = two_linears
    assert proxy("synflow", model, torch.zeros(2, 1)) == 10


def conv_net(width=4):
    """Biases, normalisations and pooling, which synflow looks past."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
        *(nn.Conv2d(width, width, 3, groups=width), nn.GroupNorm(2, width), nn.ReLU()),
        *(nn.AvgPool2d(2), nn.Dropout(0.5), nn.Conv2d(width, 6, 1), nn.LayerNorm(2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(24, 10)),
    )


LAYERS = ["0", "3", "8", "12"]
IMAGES = torch.randn(3, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def test_synaptic_flow_is_conserved_from_layer_to_layer():
    model = conv_net()
    scores = synaptic_scores(model, IMAGES)
    # R by the same layers with absolute weights, biases and normalisations left out by hand.
    bare = nn.Sequential(*(model[i] for i in (0, 3, 6, 8, 11, 12))).double()
    with torch.no_grad():
        for name, parameter in bare.named_parameters():
            parameter.zero_() if name.endswith("bias") else parameter.abs_()
        flow = bare(torch.ones(1, 3, 6, 6, dtype=torch.float64)).sum().item()
    assert [score.sum().item() for score in scores] == pytest.approx([flow] * 4)


@settings(max_examples=10)
@given(factor=st.floats(0.01, 100), layer=st.sampled_from(LAYERS), signs=st.integers(0, 99))
def test_synflow_grows_with_each_layers_weights_and_knows_no_signs(factor, layer, signs):
    model = conv_net()
    before = proxy("synflow", model, IMAGES)
    weight = model.get_parameter(f"{layer}.weight")
    coins = torch.randn(weight.shape, generator=torch.Generator().manual_seed(signs)).sign()
    with torch.no_grad():
        weight.mul_(factor * coins)
    assert proxy("synflow", model, IMAGES) == pytest.approx(factor * before)


def test_synflow_looks_at_no_image():
    model = conv_net()
    assert proxy("synflow", model, IMAGES) == proxy("synflow", model, 100 * IMAGES)


def test_synflow_is_finite_where_float_is_not_and_says_where_double_is_not():
    def tower(depth):
        """R = 16 ** depth."""
        layers = [nn.Linear(16, 16, bias=False) for _ in range(depth)]
        for layer in layers:
            nn.init.ones_(layer.weight)
        return nn.Sequential(*layers)

    inputs = torch.zeros(2, 16)
    assert proxy("synflow", tower(40), inputs) == 40 * 16.0**41  # float ends at 16 ** 32
    with pytest.raises(UserError, match="synflow must be finite in double precision") as refused:
        proxy("synflow", tower(260), inputs)
    assert "\n" not in str(refused.value)


def closed_form(*eigenvalues):
    return -sum(math.log(v + K) + 1 / (v + K) for v in eigenvalues)


def switched():
    """Outputs relu(x1 + x2 - x3 - x4) and relu(x1 - x2 + x3 - x4)."""
    model = nn.Sequential(nn.Linear(4, 2, bias=False), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1]]))
    return model


def test_jacob_cov_by_hand():
    model = switched()
    first, second = torch.tensor([1.0, 1, -1, -1]), torch.tensor([1.0, -1, 1, -1])
    both = first + second
    # Only one unit fires for each: uncorrelated Jacobians, both eigenvalues are 1.
    assert proxy("jacob_cov", model, torch.stack([first, second])) == pytest.approx(
        closed_form(1, 1)
    )
    # The same unit fires for both: eigenvalues 2 and 0.
    assert proxy("jacob_cov", model, torch.stack([first, 3 * first])) == pytest.approx(
        closed_form(2, 0)
    )
    # (1, 1, -1, -1) and (2, 0, 0, -2): correlation 4 / √(4 · 8) = 1 / √2.
    assert proxy("jacob_cov", model, torch.stack([first, both])) == pytest.approx(
        closed_form(1 + math.sqrt(0.5), 1 - math.sqrt(0.5)), rel=1e-5
    )


def test_jacob_cov_of_a_dead_network_is_undefined():
    assert math.isnan(proxy("jacob_cov", switched(), torch.zeros(2, 4) - 1))


def test_jacob_cov_against_a_loop_of_jacobians_and_numpy():
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.Tanh()),
        *(nn.Flatten(), nn.Linear(16, 5)),
    ).double()
    rows = []
    for image in IMAGES.double():
        jacobian = torch.autograd.functional.jacobian(model, image[None])  # (1, 5, 1, 3, 6, 6)
        rows.append(jacobian.sum((0, 1)).flatten().numpy())
    v = np.linalg.eigvals(np.corrcoef(np.array(rows))).real
    wanted = closed_form(*v.tolist())
    assert proxy("jacob_cov", model, IMAGES.double()) == pytest.approx(wanted)
