"""Weights as people have them: every usual form of file is read, and what is not is one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from search.models import build, load_weights
from search.models.weight_files import read_state_dict
from search.task.building import build_task
from spaces import DataError

State = dict[str, Tensor]


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


def prefixed(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + key: value for key, value in state.items()}


def checkpoint(key: str) -> Callable[[State], dict[str, Any]]:
    """With what else training scripts keep."""
    parameter = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    return lambda state: {
        key: state,
        "epoch": 3,
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=0.1, model="mine"),
        "metric": np.float64(71.5),
        "where": Path("/mine"),
    }


FORMS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "state_dict": checkpoint("state_dict"),
    "model": checkpoint("model"),
    "model_state_dict": checkpoint("model_state_dict"),
    "net": checkpoint("net"),
    "the only one": checkpoint("mine"),
    "nested": lambda state: {"model": {"state_dict": state, "arch": "mine"}},
    "ema": checkpoint("ema"),
    "state_dict_ema": checkpoint("state_dict_ema"),
    "nested ema": lambda state: {"ema": {"module": state, "decay": 0.999}},
    "DataParallel": prefixed("module."),
    "torch.compile": prefixed("_orig_mod."),
    "DDP of torch.compile": prefixed("module._orig_mod."),
    "torch.compile of DDP": prefixed("_orig_mod.module."),
    "one layer parallel": lambda state: {
        f"0.module.{k[2:]}" if k[0] == "0" else k: v for k, v in state.items()
    },
    "LightningModule": lambda state: {"state_dict": prefixed("model.")(state)},
    "AveragedModel": lambda state: {"n_averaged": torch.tensor(3), **prefixed("module.")(state)},
}
"""What is around the state_dict of a network, and what of its names."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_are_read_in_every_form(tmp_path: Path, form: str, dtype: torch.dtype) -> None:
    source, target = network(0), network(1)
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in source.state_dict().items()}
    torch.save(FORMS[form](state), tmp_path / "w.pt")
    told = load_weights(target, tmp_path / "w.pt")
    for key, value in target.state_dict().items():
        assert value.dtype == source.state_dict()[key].dtype
        assert torch.equal(value, state[key].to(value.dtype))
    kind = str(dtype).removeprefix("torch.")
    cast = (f"the weights are {kind} in the file and cast to float32",)
    assert told == (() if dtype == torch.float32 else cast)


def test_forms_are_those_that_torch_writes(tmp_path: Path) -> None:
    source = network(0)
    wrapped = {
        "parallel": nn.DataParallel(source),
        "compiled": torch.compile(source),
        "averaged": AveragedModel(source),
    }
    for name, module in wrapped.items():
        torch.save(module.state_dict(), tmp_path / name)  # type: ignore[attr-defined]
        assert set(torch.load(tmp_path / name)) != set(source.state_dict())
        target = network(1)
        load_weights(target, tmp_path / name)
        assert torch.equal(target[0].weight, source[0].weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_safetensors_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    source, target = network(0), network(1)
    state = {key: value.to(dtype) for key, value in source.state_dict().items()}
    save_file(prefixed("module.")(state), tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    assert torch.equal(target[3].weight, state["3.weight"].float())
    for broken in (b"", b"hello", (tmp_path / "w.safetensors").read_bytes()[:-9]):
        (tmp_path / "b.safetensors").write_bytes(broken)
        with pytest.raises(DataError, match=r"must be a safetensors file, but .* is not one or is"):
            load_weights(target, tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("keys", "taken", "others"),
    [
        (("state_dict", "state_dict_ema"), "state_dict_ema", ("state_dict",)),
        (("model", "model_ema"), "model_ema", ("model",)),
        (("mine", "model"), "model", ("mine",)),
        (("model", "state_dict"), "state_dict", ("model",)),
    ],
)
def test_of_several_the_average_is_taken_and_that_is_told(
    tmp_path: Path, keys: tuple[str, ...], taken: str, others: tuple[str, ...]
) -> None:
    states = {key: network(seed).state_dict() for seed, key in enumerate(keys)}
    torch.save(states, tmp_path / "w.pt")
    target = network(7)
    (told,) = load_weights(target, tmp_path / "w.pt")
    assert torch.equal(target[0].weight, states[taken]["0.weight"])
    assert told == (
        f"the weights are those under {taken}; the file has {others[0]} too: to take those, save "
        "them in a file of their own"
    )
    found = read_state_dict(tmp_path / "w.pt")
    assert (found.place, found.others) == ((taken,), others)


def test_what_a_task_does_with_its_weights_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = build("digits_small", classes=10, in_channels=1).half().state_dict()
    torch.save({"model": state}, tmp_path / "w.pt")
    task = build_task(weights=tmp_path / "w.pt", device="cpu")
    assert {p.dtype for p in task.model.parameters()} == {torch.float32}
    assert caplog.messages == ["the weights are float16 in the file and cast to float32"]


class Foreign:
    """Something that only running code from the file could bring back."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (touch, ())


def touch() -> None:
    """What a file must not be able to call."""
    raise AssertionError("code in the file was run")


REFUSED: Mapping[str, tuple[object, str]] = {
    "missing": (None, "there is none at"),
    "text": (b"hello", "must be a file of torch.save"),
    "empty": (b"", "must be a file of torch.save"),
    "cut": (b"PK\x03\x04 cut short", "must be a file of torch.save"),
    "code": (Foreign(), r"holds pickled code \(.*touch\), which is refused"),
    "a model": (nn.Linear(3, 2), r"holds pickled code \(torch.nn.modules.linear.Linear\), which"),
    "a model in a dict": ({"model": nn.Linear(3, 2), "epoch": 3}, r"pickled code \(torch.nn.mod"),
    "code for a tensor": ({"weight": Foreign()}, r"holds pickled code \(.*touch\), which is refus"),
    "a list": ([1, 2], "must be a state_dict .* holds a list"),
    "numbers": ({"a": 1}, "must be a state_dict .* holds 'a': int"),
    "numbers below": ({"state_dict": {"a": 1}}, "must be a state_dict .* holds 'a': int"),
    "no names": ({1: torch.zeros(1)}, "must be a state_dict .* holds 1: Tensor"),
    "nothing": ({}, "must be a state_dict .* holds a dict"),
    "nothing below": ({"model": {}}, "must be a state_dict .* holds 'model': dict"),
    "several": (
        {"G": {"weight": torch.zeros(1)}, "D": {"weight": torch.zeros(1)}, "epoch": 3},
        "or one under a known key .* holds several: G, D; save the right one in",
    ),
    "another": (
        {"a": torch.zeros(1)},
        "weight is missing; bias is missing; a is not in the model",
    ),
    "another below a prefix": (
        {"model.a": torch.zeros(1)},
        "weight is missing; bias is missing; model.a is not in the model",
    ),
    "integers": (
        {"weight": torch.zeros(2, 3, dtype=torch.int8), "bias": torch.zeros(2)},
        "weight is int8 in the file and float32 in the model",
    ),
    "one name twice": (
        {"weight": torch.zeros(2, 3), "module.weight": torch.zeros(2, 3), "bias": torch.zeros(2)},
        "module.weight is not in the model",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_weights_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    path = tmp_path / "w.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(DataError, match=message) as caught:
        load_weights(nn.Linear(3, 2), path)
    assert "\n" not in str(caught.value)


def test_code_beside_the_weights_is_not_run(tmp_path: Path) -> None:
    source, target = network(0), network(1)
    torch.save({"state_dict": source.state_dict(), "x": Foreign()}, tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert torch.equal(target[0].weight, source[0].weight)


def test_a_model_whose_own_parts_are_named_so_keeps_its_names(tmp_path: Path) -> None:
    source, target = (nn.ModuleDict({"module": network(seed)}) for seed in (0, 1))
    torch.save(source.state_dict(), tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    torch.save(prefixed("module.")(source.state_dict()), tmp_path / "p.pt")
    load_weights(target, tmp_path / "w.pt")
    for key, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[key])
