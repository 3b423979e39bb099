"""Exact flops and params of any policy, for many policies at once.

The size of a pruned parameter is a product of at most two linear forms in the widths (its kept rows
and its kept columns), so flops and params are quadratic polynomials in the widths. They are
compiled once into one matrix each; all coefficients are integers and every sum stays below 2**53,
so float64 arithmetic is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spaces.groups import ChannelGroup, Groups
from spaces.labels import Place
from spaces.slicing import named_tensors, origin
from spaces.walk import Cost, Trace


@dataclass(frozen=True, slots=True)
class Polynomial:
    """``constant + linear·w + wᵀ·square·w`` over widths ``w`` of shape ``(G,)`` or ``(N, G)``."""

    constant: float
    linear: np.ndarray
    square: np.ndarray

    def __call__(self, widths: np.ndarray) -> np.ndarray:
        """Exact integer values, shape ``(N,)`` for ``(N, G)``, 0-dim for ``(G,)``."""
        w = np.asarray(widths, dtype=np.float64)
        inner = w @ self.square
        inner += self.linear
        return (np.einsum("...g,...g->...", inner, w) + self.constant).astype(np.int64)

    @property
    def products(self) -> np.ndarray:
        """``(G, G)``, symmetric: the coefficient of the product of two groups' widths."""
        return self.square + self.square.T - 2 * np.diag(self.square.diagonal())

    def stepped(self, widths: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The values after one group alone takes its step, shape ``(G,)``."""
        w = np.asarray(widths, dtype=np.float64)
        slope = self.linear + self.square @ w + w @ self.square
        return self(w) + steps * (slope + steps * self.square.diagonal())

    def near(self, widths: np.ndarray) -> Polynomial:  # noqa: ARG002
        """Itself, whatever the widths are."""
        return self

    def __mul__(self, factor: float) -> Polynomial:
        return Polynomial(factor * self.constant, factor * self.linear, factor * self.square)

    def __add__(self, other: Polynomial) -> Polynomial:
        return Polynomial(
            self.constant + other.constant,
            self.linear + other.linear,
            self.square + other.square,
        )


@dataclass(frozen=True)
class Peak:
    """The largest of several polynomials of the widths, whose coefficients are not negative.

    Attributes:
        parts: at least one.
    """

    parts: Sequence[Polynomial]

    def __call__(self, widths: np.ndarray) -> np.ndarray:
        """int64: ``(N,)`` for ``(N, G)``, 0-dim for ``(G,)``."""
        return np.asarray(np.max([part(widths) for part in self.parts], axis=0))

    def stepped(self, widths: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The values after one group alone takes its step, shape ``(G,)``."""
        return np.asarray(np.max([part.stepped(widths, steps) for part in self.parts], axis=0))

    def near(self, widths: np.ndarray) -> Polynomial:
        """The largest polynomial at these widths."""
        return max(self.parts, key=lambda part: int(part(widths)))


def of_groups(trace: Trace, groups: Groups) -> list[Cost]:
    """The costs of a trace, those of labels by the groups that these belong to."""
    found = []
    for cost in trace.costs:
        if cost.labels is None:
            found.append(cost)
            continue
        stays = len(cost.labels)
        for group in groups:
            each = _per_channel(trace, group, cost.labels)
            stays -= each * group.channels
            if each:
                constant, name = cost.constant * each, group.name
                found.append(Cost(constant, None, cost.module, None, name, group.channels))
        if stays:
            found.append(Cost(cost.constant * stays, None, cost.module))
    return found


def _per_channel(trace: Trace, group: ChannelGroup, labels: Tensor) -> int:
    """How many of the labels are those of one channel of the group."""
    lines = [
        trace.axes[m.parameter, m.dim][m.index.ravel()]
        for m in group.members
        if (m.parameter, m.dim) in trace.axes
    ]
    own = torch.isin(trace.labels.find(labels), trace.labels.find(torch.cat(lines)))
    return int(own.sum()) // group.channels


def compile_flops(costs: Iterable[Cost], groups: Groups, tensors: dict[str, Tensor]) -> Polynomial:
    """Multiply-adds of every convolution, linear and matmul, as fvcore counts them."""
    total: Counter[str | None] = Counter()
    linear = np.zeros(len(groups))
    places = {group.name: g for g, group in enumerate(groups)}
    for cost in costs:
        if cost.group is None:
            total[cost.parameter] += cost.constant
        else:
            linear[places[cost.group]] += cost.constant
    found = _compile(total, groups, tensors)
    return replace(found, linear=found.linear + linear)


def layer_flops(costs: Iterable[Cost], model: nn.Module) -> dict[str, int]:
    """Module → multiply-adds of what it calls itself, in ``model`` as it is, pruned or not.

    Args:
        costs: of the unpruned network.
    """
    sizes = {name: p.numel() for name, p in named_tensors(model).items()}
    came = origin(model)
    widths = (came.widths if came else None) or {}
    total: Counter[str] = Counter()
    for cost in costs:
        size = sizes[cost.parameter] if cost.parameter else 1
        if cost.labels is not None:
            size = len(cost.labels)
        elif cost.group is not None:
            size = widths.get(cost.group, cost.channels)
        total[cost.module] += cost.constant * size
    return dict(total)


def compile_params(groups: Groups, model: nn.Module) -> Polynomial:
    """Elements of every parameter, shared ones once, as ``sum(p.numel())`` counts them."""
    named: dict[str, Tensor] = dict(model.named_parameters())
    return _compile(dict.fromkeys(named, 1), groups, named)


def _compile(factors: Mapping[Any, int], groups: Groups, tensors: dict[str, Tensor]) -> Polynomial:
    """The sum of factors, each times the size of its parameter, or of none."""
    forms = _linear_forms(groups, tensors)
    count = len(groups)
    constant, linear, square = 0.0, np.zeros(count), np.zeros((count, count))
    for name, factor in factors.items():
        shape = tensors[name].shape if name is not None else ()
        rest = factor * prod(n for d, n in enumerate(shape) if (name, d) not in forms)
        axes = [forms[name, d] for d in range(len(shape)) if (name, d) in forms]
        (a0, a), (b0, b) = (axes + [(1, np.zeros(count))] * 2)[:2]
        constant += rest * a0 * b0
        linear += rest * (a0 * b + b0 * a)
        square += rest * np.outer(a, b)
    return Polynomial(constant, linear, square)


def _linear_forms(
    groups: Groups, tensors: dict[str, Tensor]
) -> dict[Place, tuple[int, np.ndarray]]:
    """Place → (positions that always stay, positions that each kept channel of a group adds)."""
    forms: dict[Place, tuple[int, np.ndarray]] = {}
    for g, group in enumerate(groups):
        for member in (m for m in group.members if m.parameter in tensors):
            place = (member.parameter, member.dim)
            size = tensors[member.parameter].shape[member.dim]
            fixed, per_channel = forms.setdefault(place, (size, np.zeros(len(groups))))
            per_channel[g] = member.index.shape[1]
            forms[place] = (fixed - member.index.size, per_channel)
    return forms
