"""Proof before use: groups are cut on a copy and the cut is held against a masked original.

Literals in the user's code (``view(-1, 1024)``, ``split(x, 64)``) cannot be seen in a graph. What
cannot be cut so that it runs forward and backward and computes what the masked original computes
is frozen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spaces.copies import copied
from spaces.errors import ModelError
from spaces.groups import ChannelGroup
from spaces.masked import MaskedReference, outputs, relative_error
from spaces.slicing import cut, named_tensors
from spaces.trace import twice
from spaces.walk import Trace

TOLERANCE = 1e-4
"""Largest relative error between the cut and the masked network, in float32."""


class SelfCheck:
    """Cuts groups on a probe copy of the model and says which ones do not survive.

    The probe's normalisation parameters, statistics and scales are drawn anew, so that a block
    that a tiny layer scale or a zero gamma hides is seen. The global random state is left alone.
    """

    def __init__(self, model: nn.Module, trace: Trace, example_inputs: tuple[Any, ...]) -> None:
        self._trace = trace
        self._random = np.random.default_rng(0)
        self._torch = torch.Generator().manual_seed(0)
        self._probe = copied(model).eval()
        self._inputs = self._usable(tuple(self._noise(x) for x in example_inputs), example_inputs)
        self._trains = self._run_backward(copied(self._probe)) is None

    def failing(self, groups: tuple[ChannelGroup, ...]) -> dict[str, str]:
        """Group name → reason, for every group that surgery would break."""
        with full_precision():
            return self._failing(groups)

    def _failing(self, groups: tuple[ChannelGroup, ...]) -> dict[str, str]:
        self._perturb(groups)
        bad: dict[str, str] = {}
        self._bisect(groups, bad)
        good = tuple(g for g in groups if g.name not in bad)
        if bad and good and self._problem(good) is not None:
            bad |= self._one_by_one(good)
        return bad

    def _bisect(self, groups: tuple[ChannelGroup, ...], bad: dict[str, str]) -> None:
        problem = self._problem(groups) if groups else None
        if problem is None:
            return
        if len(groups) == 1:
            bad[groups[0].name] = problem
            return
        middle = len(groups) // 2
        before = len(bad)
        self._bisect(groups[:middle], bad)
        self._bisect(groups[middle:], bad)
        if len(bad) == before:  # each half passes, only together they fail
            bad |= self._one_by_one(groups)

    def _one_by_one(self, groups: tuple[ChannelGroup, ...]) -> dict[str, str]:
        accepted: tuple[ChannelGroup, ...] = ()
        bad = {}
        for group in groups:
            problem = self._problem((*accepted, group))
            if problem is None:
                accepted = (*accepted, group)
            else:
                bad[group.name] = problem
        return bad

    def _problem(self, groups: tuple[ChannelGroup, ...]) -> str | None:
        """Why cutting these groups together fails, or None when it works."""
        selection = {g.name: self._some(g) for g in groups}
        small = cut(self._probe, groups, selection)
        tensors = named_tensors(self._probe)
        wanted = MaskedReference(self._trace, groups, selection, tensors)(*self._inputs)
        try:
            with torch.no_grad():
                got = outputs(small(*self._inputs))
        # Whatever the user's forward raises on fewer channels is the reason to freeze them.
        except Exception as error:
            return f"breaks when cut ({_first_line(error)})"
        if [x.shape for x in got] != [x.shape for x in wanted]:
            return "changes the shape of the output when cut"
        if not relative_error(got, wanted) < TOLERANCE:
            return "computes something else when cut (a size fixed in the code?)"
        if self._trains:
            failure = self._run_backward(small)
            return failure and f"cannot be trained when cut ({_first_line(failure)})"
        return None

    def _some(self, group: ChannelGroup) -> np.ndarray:
        """About three quarters of the channels, on the lattice and never all."""
        below = [width for width in group.choices[:-1] if width <= 0.75 * group.channels]
        width = below[-1] if below else group.choices[0]
        return np.sort(self._random.permutation(group.channels)[:width])

    def _perturb(self, groups: tuple[ChannelGroup, ...]) -> None:
        names = {m.parameter for g in groups for m in g.members if m.kind in ("norm", "scale")}
        tensors = named_tensors(self._probe)
        with torch.no_grad():
            for name in sorted(names & tensors.keys()):
                tensor = tensors[name]
                noise = torch.rand(tensor.shape, generator=self._torch)
                small = name.endswith(("bias", "running_mean"))
                tensor.copy_(0.2 * noise - 0.1 if small else 0.5 + noise)

    def _noise(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        return torch.randn(value.shape, generator=self._torch).to(value)

    def _usable(self, *candidates: tuple[Any, ...]) -> tuple[Any, ...]:
        """The first inputs for which the network's outputs are numbers.

        Raises:
            ModelError: there are none, or the model does not run.
        """
        for inputs in candidates:
            try:
                with torch.no_grad():
                    found = outputs(self._probe(*inputs))
            except Exception as error:  # the model is anybody's, and so is what it raises
                raise ModelError(
                    f"the model must run on one example input in eval mode, but it fails with "
                    f"{type(error).__name__}: {_first_line(error)}"
                ) from error
            if not any(x.isnan().any() for x in found):
                return inputs
        raise ModelError("the model's outputs must be numbers, but they are nan; check its weights")

    def _run_backward(self, model: nn.Module) -> Any:
        model.train()
        try:
            with torch.random.fork_rng(_cuda_devices(model)), torch.enable_grad():
                sums = [x.float().sum() for x in outputs(model(*twice(self._inputs)))]
                torch.stack([x for x in sums if x.requires_grad]).sum().backward()
        # As above: anything that training raises counts as the answer.
        except Exception as error:
            return error
        return None


@contextmanager
def full_precision() -> Iterator[None]:
    """Without TF32: on a GPU convolutions round to 10 bits by default, far above `TOLERANCE`."""
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])


def _cuda_devices(model: nn.Module) -> list[int]:
    """The GPUs that the model lives on: dropout would draw from their generators."""
    return sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
