"""A pruned model on disk: what is written comes back, and nothing else is let in."""

from __future__ import annotations

import json
import os

import pytest
import torch
from networks import SMALL
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import prune_ops
import spaces
from spaces import DataError, Policy
from spaces.slicing import origin


def architecture(width=4):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(1),
        nn.Linear(width, 5),
    ).eval()


POLICY = Policy({"0": 2})
FILES = ["model.safetensors", "policy.json"]


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    model = architecture()
    nn.init.uniform_(model[1].running_mean)
    space = spaces.discover(model, (torch.zeros(1, 3, 8, 8),), round_to=1)
    return prune_ops.prune(model, space, POLICY, {"0": torch.tensor([0.0, 2.0, 1.0, 3.0])})


@pytest.fixture
def folder(small, tmp_path):
    prune_ops.save(tmp_path / "models" / "7", small, POLICY, {"val_accuracy": 0.5})
    return tmp_path / "models" / "7"


def test_round_trip(small, folder):
    fresh = architecture()
    loaded = prune_ops.load(fresh, folder)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(loaded(x), small(x))
    assert loaded[0].out_channels == 2
    assert fresh[0].weight.shape == (4, 3, 3, 3)
    assert prune_ops.load_policy(folder) == POLICY


def test_what_was_kept_of_the_unpruned_network_comes_back(folder):
    kept = origin(prune_ops.load(architecture(), folder)).kept
    assert {place: at.tolist() for place, at in kept.items()} == {
        **{(f"0.{name}", 0): [1, 3] for name in ("weight", "bias")},
        **{(f"1.{name}", 0): [1, 3] for name in ("weight", "bias", "running_mean", "running_var")},
        ("5.weight", 1): [1, 3],
    }


@pytest.mark.parametrize(
    "network", ["Concat", "Depthwise", "Grouped", "ScaleNorm", "Shared", "Transposed"]
)
def test_round_trip_of_networks_that_are_hard_to_rebuild(network, tmp_path):
    torch.manual_seed(0)
    model = SMALL[network]().eval()
    space = spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    policy = space.uniform(0.5)
    small = prune_ops.prune(model, space, policy, prune_ops.score(model, space, [], ["l2"])["l2"])
    prune_ops.save(tmp_path, small, policy)
    loaded, x = prune_ops.load(SMALL[network]().eval(), tmp_path), torch.randn(2, 3, 8, 8)
    assert torch.equal(loaded(x), small(x))
    assert sum(p.numel() for p in loaded.parameters()) == space.params(policy)
    assert prune_ops.load_policy(tmp_path) == policy


def test_what_is_written(folder):
    assert json.loads((folder / "policy.json").read_text()) == {
        "format": 3,
        "widths": {"0": 2},
        "info": {"val_accuracy": 0.5},
    }
    assert sorted(os.listdir(folder)) == FILES


def test_any_reader_of_safetensors_finds_the_state_dict_and_what_was_kept(small, folder):
    tensors, state = load_file(folder / "model.safetensors"), small.state_dict()
    assert all(torch.equal(tensors.pop(name), value) for name, value in state.items())
    kept = {name: tensors.pop(name).tolist() for name in list(tensors) if name.startswith("kept/")}
    assert kept["kept/5.weight/1"] == kept["kept/1.running_var/0"] == [1, 3]
    image, logits = tensors.pop("pass/inputs/0"), tensors.pop("pass/outputs/0")
    assert torch.equal(small(image), logits)
    assert not tensors
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert file.metadata()["format"] == "pt"
    again = architecture(width=2)
    again.load_state_dict({name: load_file(folder / "model.safetensors")[name] for name in state})
    assert torch.equal(again(image), logits)


def test_a_view_is_saved_without_the_storage_behind_it(tmp_path):
    model = nn.Linear(10, 2, bias=False)
    model.weight.data = torch.zeros(200_000, 10)[:2]
    prune_ops.save(tmp_path, model, POLICY)
    assert (tmp_path / "model.safetensors").stat().st_size < 10_000


def test_saving_twice_replaces(folder):
    prune_ops.save(folder, architecture(), Policy({"0": 3}))
    assert prune_ops.load_policy(folder) == Policy({"0": 3})
    assert sorted(os.listdir(folder)) == FILES


def test_a_write_that_fails_leaves_the_old_artifact(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match="must be writable, but got: No space left on device"):
        prune_ops.save(folder, architecture(), Policy({"0": 3}))
    assert prune_ops.load_policy(folder) == POLICY
    assert sorted(os.listdir(folder)) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError) as caught:
        prune_ops.load(architecture(), folder)
    assert str(caught.value) == (
        f"{folder / name} must exist, but does not; give a folder that save() wrote"
    )


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere must exist, but does not"):
        prune_ops.load(architecture(), tmp_path / "nowhere")


@pytest.mark.parametrize("damage", [b"", b"no such file", b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 99])
def test_not_a_safetensors_file(folder, damage):
    (folder / "model.safetensors").write_bytes(damage)
    with pytest.raises(DataError, match=r"model\.safetensors must be ") as caught:
        prune_ops.load(architecture(), folder)
    assert "\n" not in str(caught.value)


def test_a_safetensors_file_of_something_else(small, folder):
    save_file(small.state_dict(), folder / "model.safetensors")
    with pytest.raises(DataError, match=r"save\(\) wrote, but its header has no structure; give"):
        prune_ops.load(architecture(), folder)


def test_a_number_that_was_edited_is_found(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors["0.weight"][0, 0, 0, 0] += 1e-3
    save_file(tensors, path, metadata)
    with pytest.raises(DataError, match=r"must hold what save\(\) wrote, but was changed since"):
        prune_ops.load(architecture(), folder, verify=False)


def test_what_json_cannot_say_is_named(small, tmp_path):
    with pytest.raises(DataError, match=r"info must be what JSON can say, but got: .*Tensor"):
        prune_ops.save(tmp_path, small, POLICY, {"accuracy": torch.tensor(0.5)})
    assert os.listdir(tmp_path) == []


def test_every_truncation_is_one_line(folder):
    whole = (folder / "model.safetensors").read_bytes()
    for length in range(0, len(whole), 97):
        (folder / "model.safetensors").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"must be a safetensors file, but is damaged"):
            prune_ops.load(architecture(), folder)


def test_flipped_bytes_are_found(folder):
    whole = bytearray((folder / "model.safetensors").read_bytes())
    for position in range(0, len(whole), 41):
        damaged = whole.copy()
        damaged[position] ^= 0xFF
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(DataError) as caught:
            prune_ops.load(architecture(), folder, verify=False)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "widths": {"a": 0}}', "\x00"])
def test_a_damaged_policy(folder, text):
    (folder / "policy.json").write_text(text)
    with pytest.raises(
        DataError, match=r"policy\.json must be what save\(\) wrote, but is damaged"
    ):
        prune_ops.load(architecture(), folder)


def test_a_later_format(folder):
    (folder / "policy.json").write_text('{"format": 4}')
    with pytest.raises(
        DataError, match="must be of format 3 or earlier, but is of format 4; upgrade"
    ):
        prune_ops.load_policy(folder)


def test_keys_that_do_not_fit_are_named(folder):
    other = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    with pytest.raises(
        DataError, match=r"model\.safetensors does not fit Sequential: .*\b1\.num_batches"
    ):
        prune_ops.load(other, folder)


def test_shapes_that_do_not_fit_are_named(folder):
    with pytest.raises(DataError, match=r"does not fit Sequential: .*0\.weight"):
        prune_ops.load(architecture(width=1), folder)
