"""The oracle for surgery: the unpruned network as if the removed channels were gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from spaces.export import AUTOCAST
from spaces.groups import ChannelGroup
from spaces.inputs import tensors as outputs
from spaces.labels import Place
from spaces.nodes import operation
from spaces.slicing import Selection
from spaces.walk import Trace

DROPOUTS = frozenset({"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"})
"""Operations that a check of training leaves out: what they draw depends on the widths."""


class MaskedReference(fx.Interpreter):
    """The unpruned network as if the unselected channels were gone: the oracle for surgery.

    Wherever an operation reads removed channels, the slice of its weight is set to zero, and a
    statistic over channels (LayerNorm, say) is taken over the kept ones. Runs the graph of the
    trace, in its mode, without dropout.
    """

    def __init__(
        self,
        trace: Trace,
        groups: tuple[ChannelGroup, ...],
        selection: Selection,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(trace.program.graph_module)
        self._trace = trace
        self._tensors = dict(tensors or trace.tensors)
        self._drop: dict[Place, Tensor] = {}
        removed = [np.empty(0, dtype=np.int64)]
        for group in groups:
            gone = np.setdiff1d(np.arange(group.channels), selection.get(group.name, []))
            if group.name not in selection or not len(gone):
                continue
            for member in group.members:
                place = (member.parameter, member.dim)
                positions = torch.from_numpy(member.index[gone].ravel())
                before = self._drop.get(place, positions[:0])
                self._drop[place] = torch.cat([before, positions])
                if place in trace.axes:
                    removed.append(trace.labels.find(trace.axes[place][positions]).numpy())
        self._removed = torch.from_numpy(np.unique(np.concatenate(removed)))

    def __call__(self, *inputs: Any, **named: Any) -> list[Tensor]:
        """The outputs as a flat list of tensors."""
        program = self._trace.program
        given = iter(tree_leaves((inputs, named)))
        args = []
        for spec in program.graph_signature.input_specs:
            name = spec.target
            if name is None:
                value = next(given)
                args.append(value.clone() if isinstance(value, Tensor) else value)
            else:
                args.append(self._tensor(name))
        with torch.no_grad():
            return outputs(self.run(*args))

    def zeroed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name → copy, without what is removed of what is read, of each tensor that loses some."""
        found: dict[str, Tensor] = {}
        for read in (read for reads in self._trace.reads.values() for read in reads):
            name, dim = read.place
            if (drop := self._drop.get(read.place)) is not None:
                value = found.get(name, tensors[name].detach())
                found[name] = value.index_fill(dim, drop.to(value.device), 0.0)
        return found

    def _tensor(self, name: str) -> Any:
        first = self._trace.names.get(name, name)
        if first in self._tensors:
            return self._tensors[first].detach().clone()  # BatchNorm counts in train mode
        return self._trace.program.constants[name]

    def run_node(self, n: fx.Node) -> Any:
        """Run a node as its region asks: see the class."""
        with ExitStack() as regions:
            for device, dtype, enabled, cached in n.meta.get(AUTOCAST, ()):
                regions.enter_context(torch.autocast(device, dtype, enabled, cached))
            if n.name in self._trace.statistics:
                return self._statistic(n)
            if n.op == "call_function" and operation(n) in DROPOUTS:
                return self.env[n.args[0]]  # type: ignore[index]
            return super().run_node(n)

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The node's arguments, the weights without what was removed of what it reads."""
        reads = {read.weight: read for read in self._trace.reads.get(n.name, ())}

        def value(node: fx.Node) -> Any:
            found = self.env[node]
            if node in reads and (drop := self._drop.get(reads[node].place)) is not None:
                return found.index_fill(reads[node].dim, drop.to(found.device), 0.0)
            return found

        args, kwargs = fx.map_arg((n.args, dict(n.kwargs)), value)
        return args, kwargs

    def _statistic(self, n: fx.Node) -> Any:
        """Of a node that takes a statistic over channels: over those that are kept."""
        dim, labels = self._trace.statistics[n.name]
        keep = torch.isin(self._trace.labels.find(labels), self._removed, invert=True)
        kept = keep.nonzero().flatten()
        found, kwargs = self.fetch_args_kwargs_from_env(n)
        source = found[0]
        kept = kept.to(source.device)
        args = [_gather(a, dim, kept, len(labels), a is source) for a in found]
        if len(args) > 1 and isinstance(args[1], (list, tuple)) and list(args[1]) == [len(labels)]:
            args[1] = [len(kept)]  # layer_norm's normalized_shape
        small = n.target(*args, **kwargs)  # type: ignore[operator]
        value = n.meta["val"]
        if not isinstance(value, Tensor) or value.shape != source.shape:
            return small
        return torch.zeros_like(source, dtype=small.dtype).index_copy(dim, kept, small)


def _gather(value: Any, dim: int, kept: Tensor, size: int, is_source: bool) -> Any:
    if is_source:
        return value.index_select(dim, kept)
    if isinstance(value, Tensor) and value.shape == (size,):
        return value[kept]
    return value


def relative_error(got: Any, wanted: list[Tensor], scales: Sequence[float] | None = None) -> float:
    """The largest ‖got − wanted‖ / ‖wanted‖ of any output, each judged by its own scale.

    What is no number counts as 0 where both have the same there, and as infinite where not.
    Integers and truth values are left out: they jump where rounding decides.

    Args:
        scales: for each output, the part of its size that counts; all of it by default.
    """
    triples = zip(outputs(got), wanted, scales or [1.0] * len(wanted), strict=True)
    errors = (_error(a.detach(), b.detach()) / scale for a, b, scale in triples if _inexact(b))
    return max(errors, default=0.0)


def _inexact(value: Tensor) -> bool:
    return value.is_floating_point() or value.is_complex()


def _error(got: Tensor, wanted: Tensor) -> float:
    kind = torch.complex128 if wanted.is_complex() else torch.float64
    got, wanted = got.to(kind), wanted.to(kind)
    number = wanted.isfinite()
    if not torch.equal(number, got.isfinite()):
        return float("inf")
    if not torch.equal(got[~number].nan_to_num(), wanted[~number].nan_to_num()):
        return float("inf")
    difference = (got[number] - wanted[number]).norm()
    return float(difference / wanted[number].norm().clamp_min(1e-30))
