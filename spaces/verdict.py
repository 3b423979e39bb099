"""Verdict: whether one cut of a probe runs, trains, and computes what the masked probe computes."""

from __future__ import annotations

import traceback
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from spaces.copies import copied
from spaces.errors import UserError
from spaces.export import AUTOCAST
from spaces.groups import Groups
from spaces.inputs import Inputs, call
from spaces.masked import MaskedReference, relative_error
from spaces.probe import TOLERANCES, Probe, tolerance
from spaces.slicing import Selection, cut, named_tensors
from spaces.trace import train_trace
from spaces.walk import Trace

OTHERWISE = "computes something else"

LEAST = 1 / 30
"""Of an output that hardly depends on the input so much is taken for its size: rounding is as large
as the whole of it asks for."""

TRAINING = 1e-3
"""Largest relative error in train mode: BatchNorm divides by the spread of a few values."""


class Verdict:
    """Tries cuts on a probe.

    >>> Verdict(probe, trace).of(groups, {"conv1": np.arange(8)})  # doctest: +SKIP
    'breaks when cut (shape [-1, 1024] is invalid for input of size 512, net.py:12)'
    """

    def __init__(self, probe: Probe, trace: Trace, exact: bool = False) -> None:
        self._probe, self._trace, self._exact = probe, trace, exact
        self._graph: tuple[Trace | None] | None = None

    def unfit(self) -> str | None:
        """Why no cut of this network can be judged, if that is so: the reference must compute what
        the whole network does, or it can judge no part of it."""
        try:
            got = self._masked(self._trace, (), {}, self._probe.inputs)
        except Exception as error:  # a graph with types of its own, run on others
            return f"cannot be checked ({_told(error)})"
        problem = self._differs(got, self._probe.whole, self._tolerance)
        return problem and "gives other outputs each time, or depends on more than its inputs"

    def of(
        self, groups: Groups, selection: Selection, trained: bool = True, compared: bool = True
    ) -> str | None:
        """Why cutting these groups together fails, or None when it works.

        What is computed otherwise is computed again in double precision, where that can be:
        BatchNorm of a few values, say, makes more of rounding than any tolerance could allow for.

        Args:
            trained: whether a training step is tried too.
            compared: whether its outputs are held against those of the masked network.
        """
        small = cut(self._probe.model, groups, selection)
        try:
            got = self._probe.outputs(lambda: call(small, self._probe.inputs))
        # Whatever the user's forward raises on fewer channels is the reason to freeze them.
        except Exception as error:
            return f"breaks when cut ({_told(error)})"
        wanted = self._masked(self._trace, groups, selection, self._probe.inputs)
        problem = self._differs(got, wanted, self._tolerance)
        if problem is None and trained:
            problem = self._in_training(small, groups, selection, compared)
        if problem is not None and problem.startswith(OTHERWISE) and self._in_double is not None:
            return self._in_double.of(groups, selection, trained, compared)
        return problem

    @cached_property
    def _in_double(self) -> Verdict | None:
        """The same in double precision, if the network and its graph can be run so."""
        if self._exact:
            return None
        try:
            exact = Verdict(self._probe.doubled(), self._trace, exact=True)
        except Exception:  # whatever the network raises on other types than its own
            return None
        return exact if exact.unfit() is None else None

    def _in_training(
        self, small: nn.Module, groups: Groups, selection: Selection, compared: bool
    ) -> str | None:
        got, inputs = self._probe.trained(small)
        if isinstance(got, Exception):
            untrainable = self._probe.training is None
            return None if untrainable else f"cannot be trained when cut ({_told(got)})"
        if not compared:
            return None
        allowed, mode = self._tolerance if self._exact else TRAINING, " in training"
        problem = None
        if not self._trace.statistics:
            whole = self._probe.step(self._zeroed(groups, selection), inputs, backward=False)
            if isinstance(whole, list):
                problem = self._differs(got, whole, allowed, mode)
        if (problem or self._trace.statistics) and (graph := self._training_graph(inputs)):
            wanted = self._masked(graph, groups, selection, inputs)
            problem = self._differs(got, wanted, allowed, mode)
        return problem

    def _zeroed(self, groups: Groups, selection: Selection) -> nn.Module:
        """The uncut network without what reads the removed channels: quicker than a graph, and the
        same where nothing takes a statistic over channels."""
        own = named_tensors(self._probe.model)
        zeros = MaskedReference(self._trace, groups, selection, own).zeroed()
        return copied(self._probe.model, {id(own[name]): value for name, value in zeros.items()})

    def _training_graph(self, inputs: Inputs) -> Trace | None:
        """The train-mode graph, if it can be had and does what training does."""
        if self._graph is None:
            self._graph = (self._traced_training(inputs),)
        return self._graph[0]

    def _traced_training(self, inputs: Inputs) -> Trace | None:
        try:
            graph = train_trace(self._probe.model, inputs, self._trace)
        except UserError:
            return None
        wanted = self._probe.uncut(inputs, backward=False)
        if isinstance(wanted, Exception):
            return None
        got = self._masked(graph, (), {}, inputs)
        return graph if self._differs(got, wanted, TRAINING) is None else None

    def _masked(
        self, trace: Trace, groups: Groups, selection: Selection, inputs: Inputs
    ) -> list[Tensor]:
        own = named_tensors(self._probe.model)
        reference = MaskedReference(trace, groups, selection, own)
        return self._probe.outputs(lambda: reference(inputs))

    def _differs(
        self, got: list[Tensor], wanted: list[Tensor], allowed: float, mode: str = ""
    ) -> str | None:
        if [x.shape for x in got] != [x.shape for x in wanted]:
            return f"changes the shape of the output{mode} when cut"
        if relative_error(got, wanted) < allowed * LEAST:  # whatever depends on the input
            return None
        scales = self._scales if len(self._scales) == len(wanted) else None
        if relative_error(got, wanted, scales) < allowed:
            return None
        return f"{OTHERWISE}{mode} when cut (a size fixed in the code?)"

    @cached_property
    def _scales(self) -> list[float]:
        """How much of each output depends on the input, from `LEAST` to 1: the rest comes from
        biases, would be there whatever is cut, and so must not hide an error."""
        probe = self._probe
        try:
            other = probe.outputs(lambda: call(probe.model, probe.others))
        except Exception:  # the network is choosy: then all of each output counts
            other = []
        pairs = zip(probe.whole, other, strict=True) if len(probe.whole) == len(other) else ()
        shares = [_share(a, b) for a, b in pairs]
        return [min(1.0, max(share, LEAST)) if share > 0 else 1.0 for share in shares]

    @cached_property
    def _tolerance(self) -> float:
        if self._exact:
            return TOLERANCES[torch.float64]
        kinds = {p.dtype for p in self._probe.model.parameters()}
        nodes = self._trace.program.graph_module.graph.nodes
        # In single precision nothing rounds to half but what a region asks for.
        own = [n for n in nodes if AUTOCAST in n.meta or not self._probe.single]
        values = [n.meta.get("val") for n in own]
        return tolerance(kinds | {v.dtype for v in values if isinstance(v, Tensor)})


def _share(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape or one.is_complex():
        return 0.0
    size = one.abs().double().norm().clamp_min(1e-30)
    share = (one.float() - other.float()).abs().double().norm() / size
    return float(share) if share.isfinite() else 0.0


def _told(error: Exception) -> str:
    """The first line of what was raised, and the user's line that raised it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    libraries = Path(__file__).parent, Path(torch.__file__).parent
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(Path(frame.filename).is_relative_to(folder) for folder in libraries)
    ]
    where = f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{lines[0][:200]}{where}"
