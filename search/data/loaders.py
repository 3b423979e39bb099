"""Splits of data that does not live in one tensor: read by workers, or by the user's loader."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from search.data.splits import (
    Batch,
    Batches,
    Split,
    TensorSplit,
    images_and_labels,
    mix,
    normaliser,
    seeded,
)
from spaces.errors import DataError, blamed, brief

T = TypeVar("T")

HELD_IMAGES = 2048
"""How many images of a user's loader are kept for scoring channels and policies."""


@dataclass(frozen=True, eq=False)
class LoaderSplit(Split):
    """Images read one by one in worker processes; one that cannot be read is named by a DataError.

    Args:
        plain: gives ``(image, label)`` for an index, the image as evaluation sees it: uint8
            (C, H, W), normalised here, or float32, left as it is.
        augmented: the same images as training sees them; it draws from torch's generator, which
            is seeded for each image and pass alone, so the number of workers changes nothing.
        indices: which of the images belong to this split.
        workers: processes that read; 0 reads here.
    """

    plain: Dataset[Any]
    augmented: Dataset[Any]
    indices: Tensor
    device: torch.device
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    workers: int = 0

    def __len__(self) -> int:
        return len(self.indices)

    def batches(
        self, batch_size: int, *, augment: bool = False, seed: int = 0, epoch: int = 0
    ) -> Iterator[Batch]:
        size, order, cpu = batch_size, self.indices, torch.device("cpu")
        if augment:
            size = min(batch_size, len(self))
            order = order[torch.randperm(len(self), generator=seeded(seed, epoch, cpu))]
        draws = [(int(index), mix(seed, epoch)) for index in order]
        loader = DataLoader(
            _Seeded(self.augmented if augment else self.plain),
            batch_size=size,
            sampler=draws,  # pairs: the workers have to know the pass
            drop_last=augment,
            num_workers=_allowed(self.workers),
            collate_fn=_collate,
            pin_memory=self.device.type == "cuda",
            # seeds the workers' random and numpy too; the default would move the caller's state
            generator=seeded(seed, epoch, cpu),
        )
        normal = normaliser(self.mean, self.std, self.device)
        for batch in loader:
            if isinstance(batch, DataError):
                raise batch
            pair = images_and_labels(batch)
            images, labels = (part.to(self.device, non_blocking=True) for part in pair)
            yield normal(images), labels.long()

    def subset(self, indices: Tensor) -> LoaderSplit:
        return replace(self, indices=self.indices[indices])

    def to(self, device: torch.device) -> LoaderSplit:
        return replace(self, device=device)


class _Seeded(Dataset[Any]):
    """Reads ``(index, pass)`` with torch's generator seeded by the two."""

    def __init__(self, inner: Dataset[Any]) -> None:
        self.inner = inner

    def __getitem__(self, draw: tuple[int, int]) -> Any:
        index, seed = draw
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(mix(seed, index))
            try:
                return self.inner[index]
            except DataError as error:
                return _travelling(error, error)
            except Exception as error:  # a user's own data set in ``Splits`` may raise anything
                return _travelling(unread(f"item {index}", error), error)


def _travelling(told: DataError, cause: Exception) -> DataError:
    """The error as a worker hands it over: raised there it would arrive as text, with its traceback
    as its message; returned it would arrive without one, but for a note."""
    told.add_note("".join(traceback.format_exception(cause)).rstrip())
    return told


def unread(what: str, error: BaseException) -> DataError:
    """The error for user's data that ``error`` was raised by, when it was read."""
    return DataError(f"{what} must be readable, but reading failed with {blamed(error)}")


def _collate(items: list[Any]) -> Any:
    errors = [item for item in items if isinstance(item, DataError)]
    if errors:
        return errors[0]
    try:
        return default_collate(items)
    except (RuntimeError, TypeError) as error:  # returned for the same reason
        return DataError(f"images must fit into one batch, but together they give {brief(error)}")


def _allowed(workers: int) -> int:
    # Python forbids daemons, which some engines' workers are, to have children; and what shares a
    # machine with other trials reads with no more processes than it has threads.
    daemon = multiprocessing.current_process().daemon
    return 0 if daemon else min(workers, torch.get_num_threads())


@dataclass(frozen=True, eq=False)
class StreamSplit(Split):
    """The user's own loader: whatever gives batches ``(inputs, targets)`` when iterated.

    Its batch size, order and augmentation are the loader's, in training and evaluation alike; what
    it draws from torch's generator is the same for the same seed and epoch.
    """

    loader: Batches
    device: torch.device
    images: int
    _held: list[TensorSplit] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return self.images

    def batches(
        self,
        batch_size: int,  # noqa: ARG002 (the loader has its own)
        *,
        augment: bool = False,  # noqa: ARG002 (likewise)
        seed: int = 0,
        epoch: int = 0,
    ) -> Iterator[Batch]:
        for batch in isolated(self.loader, mix(seed, epoch)):
            inputs, targets = images_and_labels(batch)
            on_device = inputs.to(self.device, non_blocking=True)
            yield on_device, targets.to(self.device, non_blocking=True).long()

    def steps(self, batch_size: int) -> int:  # noqa: ARG002 (the loader has its own)
        return len(self.loader)

    def subset(self, indices: Tensor) -> TensorSplit:
        """Of the images that ``indexable`` holds."""
        return self.indexable().subset(indices)

    def indexable(self) -> TensorSplit:
        """The first ``HELD_IMAGES`` of one pass, kept from then on."""
        if not self._held:
            batches: list[Batch] = []
            for batch in self.batches(0):
                batches.append(batch)
                if sum(len(labels) for _, labels in batches) >= HELD_IMAGES:
                    break
            inputs, labels = map(torch.cat, zip(*batches, strict=True))
            self._held.append(TensorSplit(inputs[:HELD_IMAGES], labels[:HELD_IMAGES]))
        return self._held[0]

    def to(self, device: torch.device) -> StreamSplit:
        return replace(self, device=device, _held=[held.to(device) for held in self._held])


def isolated(items: Iterable[T], seed: int) -> Iterator[T]:
    """Iterate with a random state of its own, put aside between the items."""
    state = torch.Generator().manual_seed(seed).get_state()
    iterator: Iterator[T] | None = None
    while True:
        outside = torch.get_rng_state()
        torch.set_rng_state(state)
        try:
            iterator = iter(items) if iterator is None else iterator
            item = next(iterator)
        except StopIteration:
            return
        finally:
            state = torch.get_rng_state()
            torch.set_rng_state(outside)
        yield item
