"""Splits of batches of any structure: the user's own loader, for tasks that classify no images."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from prune_ops.batches import described, form
from search.data.loaders import HELD_IMAGES, isolated, unread
from search.data.splits import Batch, Batches, Split, mix, seeded
from spaces.errors import DataError
from spaces.inputs import items, joined, moved, part, tensors

Inputs = Callable[[Any], Any]
"""From a batch to what the network is called with."""

MOST_FORMS = 8
"""Of batches, that are looked at: of images of any size, say, each batch may have its own."""

LABELS = frozenset({"labels", "label", "targets", "target"})
"""Of a batch that is a dict, these are no inputs, even of a network that would take them."""


@dataclass(frozen=True)
class InputsOf:
    """The usual inputs of a batch: the first of a pair; of a dict what the forward takes by name,
    labels left out; else the batch itself.

    Args:
        names: of the forward's arguments; None if it takes any.
    """

    names: frozenset[str] | None

    @classmethod
    def of(cls, model: nn.Module) -> InputsOf:
        """Those of ``model``."""
        parameters = inspect.signature(model.forward).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return cls(None)
        return cls(frozenset(p.name for p in parameters))

    def __call__(self, batch: Any) -> Any:
        if isinstance(batch, Mapping):
            known = batch.keys() if self.names is None else self.names
            return {name: batch[name] for name in batch if name in known and name not in LABELS}
        if isinstance(batch, (tuple, list)) and len(batch) == 2:
            return batch[0]
        return batch


@dataclass(frozen=True, eq=False)
class AnySplit(Split):
    """The user's own loader; its batches are ``(inputs, batch)``, the batch as it came.

    Its batch size, order and augmentation are the loader's, in training and evaluation alike; what
    it draws from torch's generator is the same for the same seed and epoch.

    Args:
        inputs: finds them in a batch.
        device: where tensors are moved to.
    """

    loader: Batches
    inputs: Inputs
    device: torch.device
    _held: list[HeldSplit] = field(default_factory=list, repr=False)
    _counted: list[int] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        """Items in a pass; counted once, in a pass, unless the loader's data set knows."""
        if not self._counted:
            known: Any = getattr(self.loader, "dataset", None)
            whole = isinstance(known, Sized) and not getattr(self.loader, "drop_last", False)
            counted = (items(inputs) for inputs, _ in self.batches(0))
            self._counted.append(len(known) if whole else sum(counted))
        return self._counted[0]

    def batches(
        self,
        batch_size: int,  # noqa: ARG002 (the loader has its own)
        *,
        augment: bool = False,  # noqa: ARG002 (likewise)
        seed: int = 0,
        epoch: int = 0,
    ) -> Iterator[Batch]:
        found = 0
        for batch in isolated(self._read(), mix(seed, epoch)):
            on_device = moved(batch, self.device)
            inputs = self.inputs(on_device)
            if not tensors(inputs):
                raise DataError(
                    f"batches must have a tensor among their inputs, but one is {described(batch)} "
                    f"and its inputs are {described(inputs)}; give inputs=, a function of a batch"
                )
            found += 1
            yield inputs, on_device
        if not found:
            raise DataError("a loader must give at least 1 batch, but it gives none; check it")

    def _read(self) -> Iterator[Any]:
        try:
            yield from self.loader
        except DataError:
            raise
        except (Exception, SystemExit) as error:  # it is anybody's, and so is what it raises
            raise unread("the batches", error) from error

    def steps(self, batch_size: int) -> int:  # noqa: ARG002 (the loader has its own)
        return len(self.loader)

    def subset(self, indices: Tensor) -> HeldSplit:
        """Of the items that ``indexable`` holds."""
        return self.indexable().subset(indices)

    def indexable(self) -> HeldSplit:
        """The first items of one pass, ``HELD_IMAGES`` or more if there are so many, kept from then
        on. Batches whose items cannot be told apart are kept whole."""
        if not self._held:
            pairs: list[Batch] = []
            forms: dict[str, Batch] = {}
            for inputs, batch in self.batches(0):
                pairs += _singles(inputs, batch)
                if len(forms) < MOST_FORMS:
                    forms.setdefault(_form(inputs, batch), (inputs, batch))
                if len(pairs) >= HELD_IMAGES:
                    break
            self._held.append(HeldSplit(pairs, forms))
        return self._held[0]

    def to(self, device: torch.device) -> AnySplit:
        held = [each.to(device) for each in self._held]
        return replace(self, device=device, _held=held)


@dataclass(frozen=True, eq=False)
class HeldSplit(Split):
    """Items in memory.

    Args:
        pairs: ``(inputs, batch)`` of one item each, or of a batch that has none to take out.
        forms: the first batch of each form in which they came; see `forms_of`.
    """

    pairs: Sequence[Batch]
    forms: Mapping[str, Batch] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.pairs)

    def batches(
        self, batch_size: int, *, augment: bool = False, seed: int = 0, epoch: int = 0
    ) -> Iterator[Batch]:
        order = list(range(len(self)))
        if augment:
            cpu = torch.device("cpu")
            order = torch.randperm(len(self), generator=seeded(seed, epoch, cpu)).tolist()
            order = order[: self.steps(batch_size) * min(batch_size, len(self))]
        for start in range(0, len(order), batch_size):
            yield from _together([self.pairs[i] for i in order[start : start + batch_size]])

    def subset(self, indices: Tensor) -> HeldSplit:
        return HeldSplit([self.pairs[i] for i in indices.tolist()])

    def to(self, device: torch.device) -> HeldSplit:
        return HeldSplit([moved(pair, device) for pair in self.pairs])


@dataclass(frozen=True, eq=False)
class PairSplit(Split):
    """A split of images and labels whose batches are ``(images, (images, labels))``."""

    inner: Split

    def __len__(self) -> int:
        return len(self.inner)

    def batches(
        self, batch_size: int, *, augment: bool = False, seed: int = 0, epoch: int = 0
    ) -> Iterator[Batch]:
        for pair in self.inner.batches(batch_size, augment=augment, seed=seed, epoch=epoch):
            yield pair[0], pair

    def steps(self, batch_size: int) -> int:
        return self.inner.steps(batch_size)

    def subset(self, indices: Tensor) -> PairSplit:
        return PairSplit(self.inner.subset(indices))

    def indexable(self) -> PairSplit:
        return PairSplit(self.inner.indexable())

    def to(self, device: torch.device) -> PairSplit:
        return PairSplit(self.inner.to(device))


def any_split(part: Any, name: str, inputs: Inputs, device: torch.device) -> Split:
    """A part of a task as a `Split`: one it is already, or a loader.

    Raises:
        DataError: it is neither.
    """
    if isinstance(part, (AnySplit, HeldSplit, PairSplit)):
        return part
    if hasattr(part, "batches") and hasattr(part, "indexable"):
        return PairSplit(part)
    if isinstance(part, Dataset) or not (hasattr(part, "__iter__") and hasattr(part, "__len__")):
        raise DataError(
            f"{name} must be an iterable of batches with a length, a DataLoader say, but got "
            f"{type(part).__name__}; wrap it in one"
        )
    return AnySplit(part, inputs, device)


def forms_of(split: Split) -> Mapping[str, Batch]:
    """The first batch of each form in which a loader of the user's gives them, among those that
    `Split.indexable` keeps; empty for splits that are not one.

    A form is the structure of a batch with the types of its tensors, and the shapes of its inputs.
    """
    return split.indexable().forms if isinstance(split, AnySplit) else {}


def _form(inputs: Any, batch: Any) -> str:
    (_, shapes), (structure, leaves) = form(inputs), form(batch)
    kinds = [isinstance(leaf, str) or (len(leaf[0]), leaf[1]) for leaf in leaves]
    given = [leaf for leaf in shapes if not isinstance(leaf, str)]
    return repr((structure, kinds, given, len(_lengths(batch))))


def _singles(inputs: Any, batch: Any) -> list[Batch]:
    """The items of a batch, each as a batch of one; the batch whole where they do not lie along the
    first dim of every tensor."""
    count = items(inputs)
    if _lengths(batch) != {count} or _lengths(inputs) != {count}:
        return [(inputs, batch)]
    return [(part(inputs, i, i + 1), part(batch, i, i + 1)) for i in range(count)]


def _together(pairs: Sequence[Batch]) -> Iterator[Batch]:
    """One batch, or the same several where their tensors do not fit together."""
    fits = all(_lengths(p) == {1} and _shapes(p) == _shapes(pairs[0]) for p in pairs)
    yield from [joined(pairs)] if fits else pairs


def _shapes(pair: Batch) -> tuple[Any, ...]:
    """The structure, and what each tensor's items are like; what is no tensor may differ."""
    structure, leaves = form(pair)
    return structure, *(leaf for leaf in leaves if not isinstance(leaf, str))


def _lengths(value: Any) -> set[int]:
    """Of the first dims of all tensors, 0 for a number."""
    return {len(t) if t.dim() else 0 for t in tensors(value)}
