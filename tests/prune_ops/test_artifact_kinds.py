"""What is saved runs: networks that are more than a state_dict come back as they were."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from devices import needs_cuda
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils._pytree import tree_leaves

import prune_ops
import spaces
from spaces import slicing

IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))


class Body(nn.Module):
    """conv 3→16, conv 16→24, linear 24→5; the kinds below differ in what lies between."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 24, 3, padding=1)
        self.fc = nn.Linear(24, 5)

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.b(self.between(F.relu(self.a(x))))).mean((2, 3)))


class UnsavedBuffer(Body):
    """Drawn at random, along channels, and in no state_dict."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(1, 16, 1, 1), persistent=False)

    def between(self, x: Tensor) -> Tensor:
        return x * self.table


class SharedUnsavedBuffer(UnsavedBuffer):
    """Two names for one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("again", self.table, persistent=False)

    def between(self, x: Tensor) -> Tensor:
        return x * self.table + self.again


class ExpandedBuffer(Body):
    """One number that stands for several, which torch refuses to copy into."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(1).expand(5))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class LazyBuffers(Body):
    """None until the first forward, in a state_dict and out of it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", None)
        self.register_buffer("factor", None, persistent=False)
        self.register_buffer("never", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.shift is None:
            self.shift, self.factor = torch.rand(5), torch.rand(5)
        return super().forward(x) * self.factor + self.shift


class ExtraState(Body):
    """Its forward reads what only ``get_extra_state`` gives."""

    def __init__(self) -> None:
        super().__init__()
        self.power = {"steps": [1.0 + torch.rand(()).item(), 2], "table": torch.rand(3, 1, 1)}

    def get_extra_state(self) -> dict[str, object]:
        return self.power

    def set_extra_state(self, state: dict[str, object]) -> None:
        self.power = state

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.power["steps"]
        return super().forward(x * self.power["table"] * first + second)


class ReadOnlyExtraState(Body):
    """Gives extra state and takes none, which torch's own load_state_dict refuses."""

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 3}


class StrangeStateDict(Body):
    """Leaves a frozen part out of its state_dict and calls another by a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._register_state_dict_hook(self.renamed)

    @staticmethod
    def renamed(
        _module: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: object
    ) -> None:
        del state[f"{prefix}a.weight"]
        state[f"{prefix}readout"] = state.pop(f"{prefix}fc.weight")
        state["made_by"] = "a test"


class Masked(nn.Module):
    """A user's own parametrization with a buffer that is not saved."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mask", (torch.rand(shape) > 0.3).float(), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def parametrized(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model = Body()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the old ones are deprecated
            if name == "masked":
                parametrize.register_parametrization(model.fc, "weight", Masked((5, 24)))
            elif name == "pruned":
                prune.random_unstructured(model.fc, "weight", 0.5)
            else:
                known = nn.utils if name.startswith("old_") else parametrizations
                getattr(known, name.removeprefix("old_"))(model.fc)
        return model

    return build


class Norms(Body):
    """BatchNorm without affine, without statistics, and a recurrent layer's list of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.BatchNorm2d(16, affine=False)
        self.blind = nn.BatchNorm2d(16, track_running_stats=False)
        self.lstm = nn.LSTM(24, 6, batch_first=True)
        self.fc = nn.Linear(6, 5)
        nn.init.uniform_(self.plain.running_mean)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(F.relu(self.blind(self.plain(self.a(x)))))
        return self.fc(self.lstm(F.relu(x).flatten(2).transpose(1, 2))[0].mean(1))


class Tied(Body):
    """Two layers share a weight, and a list holds it a third time."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.d = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.d.weight = self.c.weight
        self.held = [self.c.weight]

    def between(self, x: Tensor) -> Tensor:
        return self.d(F.relu(self.c(x))) + F.conv2d(x, self.held[0])


class TwoInputs(Body):
    """An image and tokens; a dict of a tuple and a tensor comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.word = nn.Embedding(7, 12), nn.Linear(12, 24)

    def forward(self, image: Tensor, tokens: Tensor) -> dict[str, object]:
        words = F.relu(self.word(self.embedding(tokens))).mean(1)
        maps = F.relu(self.b(F.relu(self.a(image))))
        return {"both": (self.fc(words), maps.mean((1, 2, 3))), "one": self.fc(maps.mean((2, 3)))}


class ScalarAndComplexBuffers(Body):
    """0-dim and complex ones."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gain", torch.rand(()), persistent=False)
        self.register_buffer("turn", torch.randn(16, 1, 1, dtype=torch.complex64))
        self.register_buffer("count", torch.randint(1, 9, ()))

    def between(self, x: Tensor) -> Tensor:
        return torch.view_as_real(x * self.turn).sum(-1) * self.gain / self.count


KINDS: dict[str, Callable[[], nn.Module]] = {
    kind.__name__: kind
    for kind in (
        *(UnsavedBuffer, SharedUnsavedBuffer, ExpandedBuffer, LazyBuffers, ExtraState),
        *(ReadOnlyExtraState, StrangeStateDict, Norms, Tied),
    )
}
KINDS |= {
    name: parametrized(name)
    for name in (
        *("weight_norm", "spectral_norm", "orthogonal", "old_weight_norm", "old_spectral_norm"),
        *("masked", "pruned"),
    )
}


def built(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build().eval()


def cut(model: nn.Module, example: object = IMAGE) -> tuple[nn.Module, spaces.Policy]:
    space = spaces.discover(model, example)
    policy = space.project(space.full, 0.6)
    return prune_ops.prune(
        model, space, policy, prune_ops.score(model, space, [], ["l1"])["l1"]
    ), policy


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_what_is_loaded_computes_what_was_saved(kind, tmp_path):
    model = built(KINDS[kind])
    if kind == "LazyBuffers":
        model(IMAGE)
    small, policy = cut(model)
    wanted = small(IMAGE)
    prune_ops.save(tmp_path, small, policy)
    fresh = built(KINDS[kind], seed=1)
    before = {name: value.shape for name, value in fresh.named_parameters()}
    loaded = prune_ops.load(fresh, tmp_path)
    assert torch.equal(loaded(IMAGE), wanted)
    assert sum(p.numel() for p in loaded.parameters()) < sum(p.numel() for p in fresh.parameters())
    assert {name: value.shape for name, value in fresh.named_parameters()} == before
    prune_ops.save(tmp_path / "again", loaded, policy)
    again = prune_ops.load(built(KINDS[kind], seed=2), tmp_path / "again")
    assert torch.equal(again(IMAGE), wanted)


def test_scalar_and_complex_buffers_come_back(make_groups, tmp_path):
    model = built(ScalarAndComplexBuffers)
    places = (
        ("a.weight", 0, "out"),
        ("a.bias", 0, "out"),
        ("turn", 0, "scale"),
        ("b.weight", 1, "in"),
    )
    small = slicing.cut(model, make_groups(("a", 16, *places)).groups, {"a": np.arange(3, 9)})
    prune_ops.save(tmp_path, small, spaces.Policy({"a": 6}), example=IMAGE)
    loaded = prune_ops.load(built(ScalarAndComplexBuffers, seed=1), tmp_path)
    assert torch.equal(loaded.turn, model.turn[3:9])
    assert (loaded.gain, loaded.count) == (model.gain, model.count)
    assert torch.equal(loaded(IMAGE), small(IMAGE))


def test_a_filled_buffer_is_emptied_where_none_was_saved(tmp_path):
    small, policy = built(LazyBuffers), spaces.Policy({"a": 16})
    prune_ops.save(tmp_path, small, policy)
    used = built(LazyBuffers, seed=1)
    used(IMAGE)
    loaded = prune_ops.load(used, tmp_path)
    assert loaded.shift is loaded.factor is None
    assert used.shift is not None


@pytest.mark.parametrize("fresh", [torch.bfloat16, torch.float32])
def test_the_dtype_that_was_saved_comes_back(fresh, tmp_path):
    small, policy = cut(built(UnsavedBuffer))
    small = small.bfloat16()
    prune_ops.save(tmp_path, small, policy, example=IMAGE.bfloat16())
    loaded = prune_ops.load(built(UnsavedBuffer, seed=1).to(fresh), tmp_path)
    assert {value.dtype for value in (*loaded.parameters(), *loaded.buffers())} == {torch.bfloat16}
    assert torch.equal(loaded(IMAGE.bfloat16()), small(IMAGE.bfloat16()))


def test_shared_tensors_stay_shared(tmp_path):
    small, policy = cut(built(Tied))
    prune_ops.save(tmp_path, small, policy)
    loaded = prune_ops.load(built(Tied, seed=1), tmp_path)
    assert loaded.c.weight is loaded.d.weight is loaded.held[0]
    small, policy = cut(built(SharedUnsavedBuffer))
    prune_ops.save(tmp_path, small, policy)
    loaded = prune_ops.load(built(SharedUnsavedBuffer, seed=1), tmp_path)
    assert loaded.table is loaded.again


def test_shared_tensors_are_stored_once(tmp_path):
    prune_ops.save(tmp_path, built(Tied), spaces.Policy({"a": 16}))
    stored = load_file(tmp_path / "model.safetensors")
    assert ("c.weight" in stored, "d.weight" in stored) == (True, False)
    assert torch.equal(stored["c.weight"], built(Tied).d.weight)


def test_attributes_follow_the_shapes_that_are_loaded(tmp_path):
    small, policy = cut(built(UnsavedBuffer))
    prune_ops.save(tmp_path, small, policy)
    loaded = prune_ops.load(built(UnsavedBuffer), tmp_path)
    assert (loaded.a.out_channels, loaded.b.in_channels) == (policy["a"], policy["a"])
    assert loaded.table.shape == (1, policy["a"], 1, 1)


def test_several_inputs_and_nested_outputs(tmp_path):
    example = IMAGE, torch.tensor([[1, 2, 3], [6, 0, 1]])
    small, policy = cut(built(TwoInputs), example)
    wanted = small(*example)
    for given in (None, example, {"image": example[0], "tokens": example[1]}):
        prune_ops.save(tmp_path, small, policy, example=given)
        got = prune_ops.load(built(TwoInputs, seed=1), tmp_path)(*example)
        pairs = zip(tree_leaves(got), tree_leaves(wanted), strict=True)
        assert [torch.equal(a, b) for a, b in pairs] == [True] * 3


@needs_cuda
@pytest.mark.parametrize("kind", ["UnsavedBuffer", "ExtraState", "LazyBuffers", "Norms", "Tied"])
@pytest.mark.parametrize("there", ["cpu", "cuda"])
def test_an_artifact_goes_to_another_device(kind, there, tmp_path):
    small, policy = cut(built(KINDS[kind]))
    wanted = small(IMAGE)
    prune_ops.save(tmp_path, small.to(there), policy)
    here = "cuda" if there == "cpu" else "cpu"
    fresh = built(KINDS[kind], seed=1).to(here)
    if kind == "ExtraState":
        small.power["table"] = small.power["table"].to(there)
        fresh.power["table"] = fresh.power["table"].to(here)
        prune_ops.save(tmp_path, small, policy)
    loaded = prune_ops.load(fresh, tmp_path)
    assert {value.device.type for value in (*loaded.parameters(), *loaded.buffers())} == {here}
    assert torch.allclose(loaded(IMAGE.to(here)).cpu(), wanted, atol=1e-3)
