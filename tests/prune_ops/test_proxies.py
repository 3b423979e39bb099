"""Every proxy's closed form, with the numbers worked out in the test."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

import prune_ops
from prune_ops.proxies.accuracies import MAX_BATCHES, recalibrated
from prune_ops.running import accuracy
from spaces import Policy, UserError, discover

PROXIES = prune_ops.PROXIES


def candidate(pruned, calibration=(), held_out=(), policy=None, space=None, scores=None):
    return prune_ops.PrunedCandidate(policy, space, scores, pruned, calibration, held_out)


def test_predicted_damage_is_what_the_removed_channels_scored():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    space = discover(model, (torch.zeros(1, 3),), round_to=1)
    scores = {"0": torch.tensor([1.0, 4.0, 2.0, 8.0]), "2": torch.tensor([16.0, 32.0, 64.0, 16.0])}

    def damage(*widths):
        policy = Policy(dict(zip("02", widths, strict=True)))
        return PROXIES["predicted_damage"](
            candidate(model, policy=policy, space=space, scores=scores)
        )

    assert damage(4, 4) == 0
    assert damage(2, 4) == -3
    assert damage(2, 2) == -3 - 32
    assert damage(1, 1) == -7 - 64


def test_iso_damage_adds_up_what_the_widths_did_alone():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    space = discover(model, (torch.zeros(1, 3),), round_to=1)
    # Of 4 and 3 channels: what keeping 1, 2 (and 3) of them cost.
    damages = {"0": torch.tensor([8.0, 1.0, 2.0]), "2": torch.tensor([4.0, -0.5])}

    def damage(*widths):
        policy = Policy(dict(zip("02", widths, strict=True)))
        judged = candidate(model, policy=policy, space=space)
        return PROXIES["iso_damage"](dataclasses.replace(judged, damages=damages))

    assert damage(4, 3) == 0
    assert damage(3, 3) == -2
    assert damage(2, 3) == -2  # a narrower width does at least the damage of a wider one
    assert damage(1, 2) == -8
    assert damage(1, 1) == -8 - 4


def test_iso_damage_without_its_table_is_one_line():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    space = discover(model, (torch.zeros(1, 3),))
    with pytest.raises(UserError, match=r"needs the damages .* there are none of 0; give"):
        PROXIES["iso_damage"](candidate(model, policy=space.full, space=space))


def batches(count, size=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(size, 3, 5, 5, generator=generator), torch.arange(size) % 3)
        for _ in range(count)
    ]


@pytest.fixture
def network():
    """The dropout would be seen: before the BatchNorm it changes the statistics."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.Dropout(0.5), nn.BatchNorm2d(6), nn.Flatten(1), nn.Linear(54, 3)
    )


def test_statistics_are_the_mean_over_the_batches(network):
    data = batches(5)
    norm = recalibrated(network.train(), data)[2]
    outputs = [network[0](x).detach() for x, _ in data]
    mean = torch.stack([y.mean((0, 2, 3)) for y in outputs]).mean(0)
    var = torch.stack([y.var((0, 2, 3), unbiased=True) for y in outputs]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, var)


def test_the_inherited_statistics_leave_no_trace(network):
    wanted = recalibrated(network, batches(3))[2].running_mean
    network[2].running_mean.fill_(100.0)
    network[2].num_batches_tracked.fill_(7)
    assert torch.equal(recalibrated(network, batches(3))[2].running_mean, wanted)


def test_the_network_itself_keeps_its_statistics_and_mode(network):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    adapted = recalibrated(network, batches(3))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert not any(module.training for module in adapted.modules())
    assert network[2].momentum == 0.1


def test_at_most_a_hundred_batches_are_read(network):
    read = []

    def endless():
        while True:
            read.append(1)
            yield batches(1, size=2)[0]

    assert recalibrated(network, endless())[2].num_batches_tracked == MAX_BATCHES == 100
    assert len(read) <= MAX_BATCHES + 1


def test_a_last_batch_of_one_image_is_left_out(network):
    with_one = [*batches(2), *batches(1, size=1)]
    wanted = recalibrated(network, batches(2))[2].running_var
    assert torch.equal(recalibrated(network, with_one)[2].running_var, wanted)


def test_adaptive_bn_is_accuracy_after_recalibration(network):
    data, held_out = batches(3), batches(2, seed=1)
    adapted = recalibrated(network, data)
    with torch.no_grad():
        hits = torch.cat([adapted(x).argmax(1) == y for x, y in held_out])
    assert PROXIES["adaptive_bn"](candidate(network, data, held_out)) == hits.sum().item() / 8


@pytest.fixture
def redundant():
    """Channels 2 and 3 are copies of 0 and 1, and their readers turn the others' votes around."""
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]]))
        model[2].weight.copy_(torch.tensor([[-1.0, 0, 3, 0], [0, -1, 0, 3]]))
        for layer in (model[0], model[2]):
            layer.bias.zero_()
    space = discover(model, (torch.zeros(1, 2),), round_to=1)
    scores = {"0": torch.tensor([4.0, 3.0, 2.0, 1.0])}
    policy = Policy({"0": 2})
    pruned = prune_ops.prune(model, space, policy, scores)
    inputs = torch.rand(300, 2, generator=torch.Generator().manual_seed(0))
    images = [(inputs, inputs.argmax(1))]
    judged = candidate(pruned, images, images, policy, space, scores)
    return dataclasses.replace(judged, model=model)


def test_reconstructed_is_right_where_least_squares_mends_what_the_plain_cut_broke(redundant):
    assert accuracy(redundant.model, redundant.held_out) == 1
    assert accuracy(redundant.pruned, redundant.held_out) == 0
    assert PROXIES["reconstructed"](redundant) == 1


def test_reconstructed_looks_at_256_calibration_images(redundant):
    inputs, targets = redundant.calibration[0]
    unusable = torch.where(torch.arange(300)[:, None] < 256, inputs, torch.nan)
    batches = list(zip(unusable.split(100), targets.split(100), strict=True))
    assert PROXIES["reconstructed"](dataclasses.replace(redundant, calibration=batches)) == 1


def test_reconstructed_without_the_unpruned_network_is_one_line(redundant):
    with pytest.raises(UserError, match=r"cuts the unpruned network itself.* give it as model$"):
        PROXIES["reconstructed"](dataclasses.replace(redundant, model=None))


def test_without_batchnorm_it_is_the_accuracy_as_it_stands():
    model = nn.Sequential(nn.Flatten(1), nn.Linear(75, 3))
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    # Classes 0, 1, 2, 0 and always the answer 1.
    assert PROXIES["adaptive_bn"](candidate(model, [], batches(2))) == 0.25


def test_batchnorm_that_tracks_nothing_stays_as_it_is():
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False))
    assert not any(module.training for module in recalibrated(model, []).modules())


def test_accuracy_weights_images_not_batches():
    model = nn.Identity()
    right, wrong = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    data = [(right, torch.tensor([0])), (wrong.repeat(3, 1), torch.zeros(3).long())]
    assert accuracy(model, data) == 0.25


def test_too_little_data_is_one_line(network):
    with pytest.raises(UserError, match="calibration batches of at least 2 images, but got none"):
        recalibrated(network, batches(3, size=1))
    with pytest.raises(UserError, match="at least one held-out image, but got none"):
        accuracy(network.eval(), [])
