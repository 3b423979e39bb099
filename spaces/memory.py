"""The most memory that activations take at any time of a forward pass, for any widths.

A pass over one item is watched operation by operation: which tensors it makes, and which of those
made before are still held. When each is freed does not depend on the widths, and each dim of each
tensor is linear in them, so one pass of the whole network, and one with each group alone at its
least width, give the bytes at every moment as a polynomial.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from spaces.cost import Peak, Polynomial
from spaces.errors import ModelError, in_one_line
from spaces.inputs import call, tensors
from spaces.space import Space, slice_model
from spaces.state import all_tensors


def activation_memory(model: nn.Module, space: Space) -> Peak:
    """The bytes of all activations of one item at the worst moment of a forward pass.

    The input counts, and the outputs; parameters, buffers and what an operation needs within itself
    do not.

    >>> space = replace(space, others={"memory": activation_memory(model, space)})  # doctest: +SKIP

    Raises:
        ModelError: the network fails, or its tensors are not of sizes linear in the widths.
    """
    full = {group.name: np.arange(group.channels) for group in space.groups}
    whole = _watched(slice_model(model, space, full), space)
    low = space.lattice.low.astype(int)
    probes = []
    for group, least in zip(space.groups, low, strict=True):
        small = slice_model(model, space, full | {group.name: np.arange(least)})
        probes.append(_watched(small, space).sizes)
    lost = space.lattice.top - low
    sizes = [
        _bytes(whole.sizes[k], [probe[k] for probe in probes], lost, space.lattice.top)
        if all(len(probe) == len(whole.sizes) for probe in probes)
        else _unlike()
        for k in range(len(whole.sizes))
    ]
    return Peak([_sum(sizes[k] for k in moment) for moment in whole.moments()])


def _watched(model: nn.Module, space: Space) -> Watch:
    device = next(model.parameters()).device
    example = torch.utils._pytree.tree_map_only(Tensor, lambda t: t.to(device), space.example)
    watch = Watch({_key(t) for t in all_tensors(model).values()})
    watch.take(tensors(example))
    must = "activation memory must be found in a pass of one item, but that fails with"
    with in_one_line(ModelError, must, "leave the limit of memory out"), torch.no_grad(), watch:
        call(model.eval(), example)
    return watch


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class Watch(TorchDispatchMode):
    """Which tensors a pass makes, and which are held at each moment.

    Args:
        beside: storages that do not count.

    Attributes:
        sizes: of each tensor with memory of its own, in order: its shape and bytes of an element.
        held: at each operation those that there are then.
    """

    def __init__(self, beside: set[int]) -> None:
        super().__init__()
        self.sizes: list[tuple[tuple[int, ...], int]] = []
        self.held: list[frozenset[int]] = []
        self._beside = beside
        self._live: dict[int, tuple[int, StorageWeakRef]] = {}

    def take(self, made: Sequence[Tensor]) -> None:
        """Count these tensors from now on, unless they share the memory of others."""
        for tensor in made:
            key = _key(tensor)
            if key in self._beside or key in self._live:
                continue
            self._live[key] = len(self.sizes), StorageWeakRef(tensor.untyped_storage())
            self.sizes.append((tuple(tensor.shape), tensor.element_size()))
        self.held.append(frozenset(place for place, _ in self._live.values()))

    def moments(self) -> Iterator[frozenset[int]]:
        """What is held at each moment that no other has more than."""
        largest: list[frozenset[int]] = []
        for held in sorted(set(self.held), key=len, reverse=True):
            if not any(held <= other for other in largest):
                largest.append(held)
        yield from largest

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        freed = [key for key, (_, kept) in self._live.items() if kept.expired()]
        for key in freed:
            del self._live[key]
        result = func(*args, **(kwargs or {}))
        self.take(tensors(result))
        return result


def _bytes(
    whole: tuple[tuple[int, ...], int],
    probes: Sequence[tuple[tuple[int, ...], int]],
    lost: np.ndarray,
    top: np.ndarray,
) -> Polynomial:
    """The bytes of one tensor, from its shape in the whole network and in every probe."""
    (shape, size), groups = whole, len(lost)
    constant, forms = float(size), []
    for d, full in enumerate(shape):
        if any(len(other) != len(shape) for other, _ in probes):
            _unlike()
        fewer = np.array([full - other[d] for other, _ in probes])
        if not fewer.any():
            constant *= full
            continue
        per_channel = fewer / np.maximum(lost, 1)
        if (per_channel % 1).any():
            _unlike()
        forms.append((float(full - per_channel @ top), per_channel))
    if len(forms) > 2:
        _unlike()
    (a0, a), (b0, b) = (forms + [(1.0, np.zeros(groups))] * 2)[:2]
    return Polynomial(a0 * b0, a0 * b + b0 * a, np.outer(a, b)) * constant


def _sum(parts: Iterator[Polynomial]) -> Polynomial:
    total = next(parts)
    for part in parts:
        total = total + part
    return total


def _unlike() -> Any:
    raise ModelError(
        "activation memory must be a polynomial of the widths, but tensors of this network are of "
        "other sizes; leave the limit of memory out"
    )
