"""What a GPU would do and tell, on the CPU: replay recorded work, and wait to be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")


class Tape:
    """Records operations below Python, and repeats each on the very tensors that it had.

    As in a graph, no Python runs when it is replayed, numbers of the host are those of the
    recording, results lie where they lay, nothing may be read back to the host, and recording
    leaves weights, momenta, gradients and random numbers alone.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self.recorded = self.replayed = 0

    def aside(self, work: Callable[[], T]) -> T:
        return work()

    def watched(self, work: Callable[[], T]) -> tuple[T, str]:
        return work(), ""

    def record(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        kept = [(tensor, tensor.detach().clone()) for tensor in self._changing()]
        random = torch.get_rng_state()
        operations = Operations()
        try:
            with operations:
                result = work()
        finally:
            torch.set_rng_state(random)
            with torch.no_grad():
                for tensor, before in kept:
                    tensor.copy_(before)
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            operations.repeat()

        return result, replay

    def _changing(self) -> list[Tensor]:
        states = [x for s in self._optimizer.state.values() for x in tree_leaves(s)]
        tensors = [x for x in states if isinstance(x, Tensor)]
        return [*self._model.parameters(), *self._model.buffers(), *tensors]


class Operations(TorchDispatchMode):
    """The operations of a block, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Callable[..., Any], Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        result = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, _tensors(result)))
        return result

    @torch.no_grad()
    def repeat(self) -> None:
        for func, args, kwargs, results in self._calls:
            for old, new in zip(results, _tensors(func(*args, **kwargs)), strict=True):
                if old.data_ptr() != new.data_ptr():  # not in place, and no view
                    old.copy_(new)


class Waits(TorchDispatchMode):
    """Counts the operations of a block for which the host would wait for a GPU."""

    ALWAYS = (
        torch.ops.aten._local_scalar_dense.default,
        torch.ops.aten.nonzero.default,
        torch.ops.aten.equal.default,
    )

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masks = func is torch.ops.aten.index.Tensor and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.count += masks or func in self.ALWAYS
        return func(*args, **(kwargs or {}))


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
