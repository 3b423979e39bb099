"""What must hold for one network, whatever it is: the whole promise of the project."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from oracles import random_selection, randomise
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import prune_ops
import spaces
from fuzz.networks import Drawn, drawn
from spaces import Space, UserError
from spaces import inputs as forms
from spaces.masked import MaskedReference

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4, torch.bfloat16: 0.1}
POLICIES = 3
UNCOUNTABLE = {"conditional"}
"""Operations in which torch's counter fails."""

BLIND = {"recurrent", "bilinear", "spectral_normed", "einsum_weight"}
"""Operations of whose products torch's counter does not see all; of an einsum those of width 1."""


class Networks:
    """Random networks by their seeds."""

    name = "networks"

    def check(self, seed: int) -> str:
        """As ``check``."""
        return check(drawn(seed))

    def describe(self, seed: int) -> str:
        """Its program."""
        return drawn(seed).program


def check(network: Drawn) -> str:
    """Discover, cut, score, prune, save and load the network; what came of it in a word.

    Raises:
        AssertionError: a promise does not hold; or whatever came out instead of a `UserError`.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(network.seed)
        model = network.build()
        randomise(model)
        with _left_alone(model):
            return _checked(network, model)


def _checked(network: Drawn, model: nn.Module) -> str:
    try:
        space, reference = _discovered(model.eval(), network.example)
    except UserError as error:
        one_line(error)
        return "refused"
    rng = np.random.default_rng(network.seed)
    for widths, selection in _selections(space, rng):
        small = spaces.slice_model(model, space, selection)
        _costs(space, widths, small)
        _equals_masked(space, small, reference(selection))
        _trains(small, network.example)
    _saved(network, model, space)
    return "searched"


def one_line(error: UserError) -> None:
    """A user's mistake is told in one line."""
    assert str(error).strip(), "an empty message"
    assert "\n" not in str(error), f"more than one line: {error}"


def _discovered(model: nn.Module, example: Any) -> tuple[Space, Any]:
    """The space, and the masked oracle of a selection; traced once, as that takes longest."""
    seen = []
    real = spaces.space.trace

    def remembered(*args: Any) -> Any:
        seen.append(real(*args))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("spaces.space.trace", remembered)
        space = spaces.discover(model, example)
    return space, lambda selection: MaskedReference(seen[-1], space.groups, selection)


def _selections(
    space: Space, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    for _ in range(POLICIES):
        yield random_selection(space, rng)
    policies = [space.policy(space.lattice.low)]
    if space.floor_flops <= space.full_flops / 2:
        policies.append(space.uniform(0.5))
    for policy in policies:
        widths = space.widths(policy)
        kept = {
            g.name: np.sort(rng.permutation(g.channels)[:w])
            for g, w in zip(space.groups, widths, strict=True)
        }
        yield widths, kept


def _costs(space: Space, widths: np.ndarray, small: nn.Module) -> None:
    params = sum(p.numel() for p in small.parameters())
    assert space.params(widths) == params, f"params {space.params(widths)}, really {params}"
    if UNCOUNTABLE & set(small.names):
        return
    # torch's counter has no entry for the fused attention of a CPU
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        forms.call(small.eval(), space.example)
    counted, ours = counter.get_total_flops() // 2, space.flops(widths)
    if BLIND & set(small.names):
        assert ours >= counted, f"flops {ours}, torch counts at least {counted}"
    elif not space.uncounted:
        assert ours == counted, f"flops {ours}, torch counts {counted}"


def _equals_masked(space: Space, small: nn.Module, reference: Any) -> None:
    with torch.no_grad():
        got = forms.tensors(forms.call(small.eval(), space.example))
    given = space.example
    wanted = reference(**given) if isinstance(given, dict) else reference(*given)
    assert len(got) == len(wanted)
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine.shape == theirs.shape, f"{mine.shape} instead of {theirs.shape}"
        rounded = torch.bfloat16 if "autocast" in small.names else mine.dtype
        error = (mine.double() - theirs.double()).norm() / theirs.double().norm().clamp_min(1e-30)
        assert error < TOLERANCE.get(rounded, 1e-4), f"differs from the masked by {error:.2g}"


def _trains(small: nn.Module, example: Any) -> None:
    outputs = [t for t in forms.tensors(forms.call(small.train(), example)) if t.requires_grad]
    small.zero_grad()
    sum(t.double().square().mean() for t in outputs).backward()


def _saved(network: Drawn, model: nn.Module, space: Space) -> None:
    """Scores by weights and by data; pruned by the first, saved and loaded."""
    scores = prune_ops.score(model, space, (), ["l1"])["l1"]
    assert all(v.isfinite().all() for v in scores.values())
    items = forms.items(network.example) if space.batched else 1
    batches = [(network.example, torch.zeros(items, dtype=torch.long))]
    try:
        learned = prune_ops.score(model, space, batches, ["taylor_2019"], loss=_loss)
    except UserError as error:
        one_line(error)
    else:
        assert all(v.isfinite().all() for v in learned["taylor_2019"].values())
    policy = space.policy(space.lattice.low)
    small = prune_ops.prune(model, space, policy, scores).eval()
    with tempfile.TemporaryDirectory() as folder:
        prune_ops.save(folder, small, policy)
        again = prune_ops.load(network.build(), folder).eval()
    with torch.no_grad():
        both = (forms.tensors(forms.call(m, network.example)) for m in (small, again))
        for mine, theirs in zip(*both, strict=True):
            assert torch.equal(mine, theirs), "the loaded network gives something else"


def _loss(outputs: Any, _targets: Tensor) -> Tensor:
    return sum(t.float().square().mean() for t in forms.tensors(outputs))


@contextmanager
def _left_alone(model: nn.Module) -> Iterator[None]:
    """The user's model is afterwards what it was before."""
    state, mode = copy.deepcopy(model.state_dict()), model.training
    held = {name: set(vars(m)) for name, m in model.named_modules()}
    yield
    now = model.eval().train(mode).state_dict()
    for name, value in state.items():
        same = value.equal(now[name]) if isinstance(value, Tensor) else value == now[name]
        assert same, f"{name} of the user's model was changed"
    for name, module in model.named_modules():
        assert set(vars(module)) == held[name], f"{name} holds {set(vars(module)) ^ held[name]}"
        fakes = [key for key, value in vars(module).items() if isinstance(value, FakeTensor)]
        assert not fakes, f"{name}.{fakes} are fake tensors"
    assert all(p.grad is None for p in model.parameters()), "gradients were left in the model"
