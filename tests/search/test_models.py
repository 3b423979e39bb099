"""Models by name, their published flops, and weights that do and do not fit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from search import models
from search.models import cifar_mobilenet
from search.models.init import he_init, reinitialise
from spaces.errors import DataError, UserError


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        # He et al. 2015, table 6: 0.27 M, 0.46 M, 0.66 M, 0.85 M, 1.7 M parameters
        ("resnet20", (3, 32, 32), 269_722),
        ("resnet56", (3, 32, 32), 853_018),
        # option B adds two projections: 16 * 32 + 2 * 32 and 32 * 64 + 2 * 64
        ("resnet20b", (3, 32, 32), 269_722 + 576 + 2176),
        # convolutions without bias, two parameters for each of 4224 channels, one linear layer
        ("vgg16_cifar", (3, 32, 32), 9 * 1_634_496 + 2 * 4224 + 513 * 10),
        # stem and blocks, projections, two for each of 344 normalised channels, linear
        ("digits_cnn", (1, 8, 8), 9 * (16 + 768 + 2304 + 4608) + 2560 + 688 + 65 * 10),
        # torchvision's mobilenet_v2 of 10 classes: strides have no parameters
        ("mobilenet_v2_cifar", (3, 32, 32), 2_236_682),
        ("squeezenet1_1", (3, 64, 64), 727_626),
    ],
)
def test_named_models_have_their_parameters_and_outputs(
    name: str, shape: tuple[int, ...], count: int
) -> None:
    model = models.build(name, classes=10, in_channels=shape[0]).eval()
    assert model(torch.zeros(2, *shape)).shape == (2, 10)
    assert parameters(model) == count


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_cifar_resnet_has_as_many_layers_as_its_name_says(depth: int) -> None:
    model = models.build(f"resnet{depth}", classes=10)
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth


def test_option_a_pads_half_of_the_zeros_on_either_side() -> None:
    shortcut = models.build("resnet20", classes=10).get_submodule("layer2.0.shortcut")
    x = torch.randn(1, 16, 4, 4)
    y = shortcut(x)
    assert y.shape == (1, 32, 2, 2)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert y[:, :8].count_nonzero() + y[:, 24:].count_nonzero() == 0


@pytest.mark.parametrize("width", [0.35, 1.0, 1.4])
def test_mobilenet_for_cifar_is_torchvisions_with_other_strides(width: float) -> None:
    settings = [list(stage) for stage in cifar_mobilenet.STAGES]
    theirs = mobilenet_v2(
        num_classes=7, width_mult=width, inverted_residual_setting=settings, dropout=0
    )
    theirs.features[0][0].stride = (1, 1)
    ours = cifar_mobilenet.build("mobilenet_v2_cifar", 7, 3, width)
    state = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(state))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(images), theirs(images))


def test_auxiliary_heads_of_googlenet_are_left_out_of_model_and_weights(tmp_path: Path) -> None:
    from torchvision.models import googlenet

    model = models.build("googlenet", classes=3)
    assert model.train()(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    full = googlenet(weights=None, num_classes=3, aux_logits=True, init_weights=False)
    torch.save(full.state_dict(), tmp_path / "full.pt")
    models.load_weights(model, tmp_path / "full.pt")
    assert torch.equal(model.get_parameter("fc.weight"), full.fc.weight)


def test_torchvision_models_take_grey_images_when_asked() -> None:
    model = models.build("mobilenet_v3_small", classes=10, in_channels=1).eval()
    assert model(torch.zeros(1, 1, 32, 32)).shape == (1, 10)


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown model 'resnet21', did you mean 'resnet\d+'\?"):
        models.build("resnet21", classes=10)


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "their_models.py").write_text(
        "from torch import nn\n"
        "def fixed(): return nn.Linear(4, 7)\n"
        "def sized(num_classes): return nn.Linear(4, num_classes)\n"
        "def wrong(): return 'a string'\n"
        "def broken(): raise RuntimeError('two\\nlines')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "their_models", raising=False)
    return "their_models"


def test_a_function_of_the_users_is_told_the_classes_if_it_wants(user_module: str) -> None:
    assert models.build(f"{user_module}:fixed", classes=3).out_features == 7
    assert models.build(f"{user_module}:sized", classes=3).out_features == 3


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong", "must return a torch.nn.Module, but it returned str"),
        ("broken", r"it failed with RuntimeError: two \(their_models.py, line 5\)$"),
        ("absent", "has none named 'absent'"),
    ],
)
def test_a_function_that_fails_is_told_in_one_line(
    user_module: str, function: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        models.build(f"{user_module}:{function}", classes=3)
    assert "\n" not in str(caught.value)


def test_a_module_that_is_missing_is_named() -> None:
    with pytest.raises(UserError, match="importing 'no_such_module' failed"):
        models.build("no_such_module:f", classes=3)


def test_misfits_are_told_with_the_first_three_names(tmp_path: Path) -> None:
    torch.save(models.build("resnet20b", classes=10).state_dict(), tmp_path / "b.pt")
    model = models.build("resnet20", classes=9)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(DataError) as caught:
        models.load_weights(model, tmp_path / "b.pt")
    assert "linear.weight is (10, 64) in the file and (9, 64) in the model; " in str(caught.value)
    assert "layer2.0.shortcut.0.weight is not in the model; and 11 more; " in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_he_init_has_the_spread_of_its_definition() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(64, 128, 3), nn.Conv2d(128, 256, 3, groups=128))
    he_init(layers)
    # sqrt(2 / fan_out): 128 * 9 weights leave each input; 2 * 9 where 128 groups share them
    assert layers[0].weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    assert layers[1].weight.std().item() == pytest.approx((2 / 18) ** 0.5, rel=0.05)
    assert layers[0].bias.count_nonzero() == 0


class Odd(nn.Module):
    """Pruned widths, attention, and a parameter that no layer owns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.attention = nn.MultiheadAttention(4, 2)
        self.scale = nn.Parameter(torch.full((5,), 1e-6))
        self.token = nn.Parameter(torch.randn(400) * 2 + 7)


def test_reinitialise_gives_new_weights_of_the_same_shapes_and_keeps_the_old() -> None:
    model = Odd()
    with torch.no_grad():
        model.norm.running_mean.fill_(3)
        model.norm.weight.fill_(9)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    fresh = reinitialise(model, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert {k: v.shape for k, v in fresh.state_dict().items()} == {
        key: value.shape for key, value in before.items()
    }
    assert not torch.equal(fresh.conv.weight, model.conv.weight)
    assert not torch.equal(fresh.attention.in_proj_weight, model.attention.in_proj_weight)
    assert fresh.norm.running_mean.count_nonzero() == 0
    assert torch.equal(fresh.norm.weight, torch.ones(5))
    assert torch.equal(fresh.scale, model.scale)  # no spread, nothing to draw
    assert not torch.equal(fresh.token, model.token)
    assert fresh.token.mean().item() == pytest.approx(7, abs=0.5)


def test_reinitialise_repeats_with_its_seed() -> None:
    model = nn.Conv2d(3, 5, 3)
    once, again, other = (reinitialise(model, seed).weight for seed in (4, 4, 5))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
