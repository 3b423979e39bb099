"""The oracle for surgery: the unpruned network as if the removed channels were gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from spaces.groups import ChannelGroup
from spaces.slicing import Selection
from spaces.walk import Trace


class MaskedReference(fx.Interpreter):
    """The unpruned network as if the unselected channels were gone: the oracle for surgery.

    Every consumer's input slice is set to zero, and a statistic over channels (LayerNorm, say) is
    taken over the kept ones. Runs the exported eval-mode graph.
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
        removed = [np.empty(0, dtype=np.int64)]
        for group in groups:
            drop = np.setdiff1d(np.arange(group.channels), selection.get(group.name, []))
            if group.name not in selection or not len(drop):
                continue
            for member in group.members:
                positions = torch.from_numpy(member.index[drop].ravel())
                if member.kind == "in":
                    self._zero(member.parameter, member.dim, positions)
                place = (member.parameter, member.dim)
                if place in trace.axes:
                    removed.append(trace.labels.find(trace.axes[place][positions]).numpy())
        self._removed = torch.from_numpy(np.unique(np.concatenate(removed)))

    def _zero(self, name: str, dim: int, positions: Tensor) -> None:
        masked = self._tensors[name].detach().clone()
        masked.index_fill_(dim, positions.to(masked.device), 0.0)
        self._tensors[name] = masked

    def __call__(self, *inputs: Any) -> list[Tensor]:
        """The outputs as a flat list of tensors."""
        program = self._trace.program
        given = iter(tree_leaves(inputs))
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

    def _tensor(self, name: str) -> Any:
        first = self._trace.names.get(name, name)
        if first in self._tensors:
            return self._tensors[first]
        return self._trace.program.constants[name]

    def run_node(self, n: fx.Node) -> Any:
        """Run a node; one that takes a statistic over channels sees only the kept ones."""
        if n.name not in self._trace.statistics:
            return super().run_node(n)
        dim, labels = self._trace.statistics[n.name]
        keep = torch.isin(self._trace.labels.find(labels), self._removed, invert=True)
        kept = keep.nonzero().flatten()
        found, kwargs = self.fetch_args_kwargs_from_env(n)
        source = found[0]
        kept = kept.to(source.device)
        args = [self._gather(a, dim, kept, len(labels), a is source) for a in found]
        if isinstance(args[1], (list, tuple)) and list(args[1]) == [len(labels)]:
            args[1] = [len(kept)]  # layer_norm's normalized_shape
        small = n.target(*args, **kwargs)  # type: ignore[operator]
        if not isinstance(small, Tensor) or n.meta["val"].shape != source.shape:
            return small
        return torch.zeros_like(source).index_copy(dim, kept, small)

    @staticmethod
    def _gather(value: Any, dim: int, kept: Tensor, size: int, is_source: bool) -> Any:
        if is_source:
            return value.index_select(dim, kept)
        if isinstance(value, Tensor) and value.shape == (size,):
            return value[kept]
        return value


def relative_error(got: Any, wanted: list[Tensor]) -> float:
    """‖got − wanted‖ / ‖wanted‖ over all outputs."""
    flat = [torch.cat([x.flatten().double() for x in xs]) for xs in (outputs(got), wanted)]
    return float((flat[0] - flat[1]).norm() / flat[1].norm().clamp_min(1e-30))


def outputs(value: Any) -> list[Tensor]:
    """The tensors among a forward's return value, flat."""
    return [x for x in tree_leaves(value) if isinstance(x, Tensor)]
