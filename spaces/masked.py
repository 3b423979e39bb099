"""The oracle for surgery: the unpruned network as if the removed channels were gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from spaces.export import AUTOCAST
from spaces.groups import Groups
from spaces.inputs import tensors as outputs
from spaces.nodes import operation
from spaces.slicing import Selection, kept_masks
from spaces.walk import Contraction, Trace

DROPOUTS = {"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"}
"""Operations that a check of training leaves out: what they draw depends on the widths."""


class MaskedReference(fx.Interpreter):
    """Runs the graph of a trace, in its mode, without dropout and without the unselected channels.

    Wherever an operation reads these, the slice of its weight is set to zero; a statistic over
    channels (LayerNorm, say), and a product that is summed up over them (attention's scores), is
    taken over the kept ones.
    """

    def __init__(
        self,
        trace: Trace,
        groups: Groups,
        selection: Selection,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(trace.program.graph_module)
        self._trace = trace
        self._tensors = dict(tensors or trace.tensors)
        self._drop = {
            place: torch.from_numpy(np.flatnonzero(~mask))
            for place, mask in kept_masks(groups, selection, self._tensors).items()
            if not mask.all()
        }
        lost = [trace.axes[p][gone] for p, gone in self._drop.items() if p in trace.axes]
        self._removed = trace.labels.find(torch.cat([torch.empty(0, dtype=torch.long), *lost]))

    def __call__(self, *inputs: Any, **named: Any) -> list[Tensor]:
        """The outputs as a flat list of tensors; ``inputs`` may be nested."""
        program, own = self._trace.program, self._tensors
        names = self._trace.names.items()
        own = program.constants | {name: own[first] for name, first in names if first in own}
        given = iter(tree_leaves((inputs, named)))
        args = []
        for spec in program.graph_signature.input_specs:
            value = next(given) if spec.target is None else own[spec.target]
            # A copy: BatchNorm counts in train mode, and the network may write to its inputs.
            args.append(value.detach().clone() if isinstance(value, Tensor) else value)
        with torch.no_grad():
            return outputs(self.run(*args))

    def zeroed(self) -> dict[str, Tensor]:
        """Name → copy, without what is removed of what is read, of each tensor that loses some."""
        found: dict[str, Tensor] = {}
        for read in (read for reads in self._trace.reads.values() for read in reads):
            name, dim = read.place
            if (drop := self._drop.get(read.place)) is not None:
                value = found.get(name, self._tensors[name].detach())
                found[name] = value.index_fill(dim, drop.to(value.device), 0.0)
        return found

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

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call it; a view may need a copy here that it did not need when it was traced, as what
        was selected lies otherwise in memory, and a call of contiguous() is left out then."""
        if target is torch.ops.aten.view.default:
            target = torch.ops.aten.reshape.default
        return super().call_function(target, args, kwargs)

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The node's arguments, the weights without what was removed of what it reads."""
        reads = {read.weight: read for read in self._trace.reads.get(n.name, ())}

        def value(node: fx.Node) -> Any:
            found = self.env[node]
            if node in reads and (drop := self._drop.get(reads[node].place)) is not None:
                return found.index_fill(reads[node].dim, drop.to(found.device), 0.0)
            return found

        args, kwargs = fx.map_arg((n.args, dict(n.kwargs)), value)
        if n.name in self._trace.contractions:
            args = self._contracted(args, self._trace.contractions[n.name])
        return args, kwargs

    def _contracted(self, args: tuple[Any, ...], sums: Sequence[Contraction]) -> tuple[Any, ...]:
        """The arguments of a product with those channels only that are kept."""
        leaves, form = tree_flatten(args)
        for each in sums:
            given = leaves[each.leaf]
            kept = self._kept(each.labels).to(given.device)
            leaves[each.leaf] = given.index_select(each.dim, kept)
        found: tuple[Any, ...] = tree_unflatten(leaves, form)
        return found

    def _kept(self, labels: Tensor) -> Tensor:
        """The positions of those labels that are kept."""
        keep = torch.isin(self._trace.labels.find(labels), self._removed, invert=True)
        return keep.nonzero().flatten()

    def _statistic(self, n: fx.Node) -> Any:
        """Of a node that takes a statistic over channels: over those that are kept."""
        dim, labels = self._trace.statistics[n.name]
        (source, *others), kwargs = self.fetch_args_kwargs_from_env(n)
        kept = self._kept(labels).to(source.device)
        if operation(n) in ("layer_norm", "rms_norm"):
            others[0] = [len(kept)]  # the normalized_shape
        others = [
            x[kept] if isinstance(x, Tensor) and x.shape == labels.shape else x for x in others
        ]
        small = n.target(source.index_select(dim, kept), *others, **kwargs)  # type: ignore[operator]
        value = n.meta["val"]
        if not isinstance(value, Tensor) or value.shape != source.shape:
            return small
        return torch.zeros_like(source, dtype=small.dtype).index_copy(dim, kept, small)


def relative_error(got: Any, wanted: list[Tensor], scales: Sequence[float] | None = None) -> float:
    """The largest ‖got − wanted‖ / ‖wanted‖ of any output, each judged by its own scale.

    What is no number counts as 0 where both have the same there, and as infinite where not.
    Integers and truth values are left out: they jump where rounding decides.

    Args:
        scales: for each output, the part of its size that counts; all of it by default.
    """
    triples = zip(outputs(got), wanted, scales or [1.0] * len(wanted), strict=True)
    errors = (
        _error(a.detach(), b.detach()) / scale
        for a, b, scale in triples
        if b.is_floating_point() or b.is_complex()
    )
    return max(errors, default=0.0)


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
