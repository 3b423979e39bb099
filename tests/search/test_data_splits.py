"""Splits: passes, augmentation, cuts and the user's loaders."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from search.data.loaders import LoaderSplit, StreamSplit
from search.data.source import Request
from search.data.splits import Augment, TensorSplit, mix, move_and_flip
from spaces.errors import DataError

CPU = torch.device("cpu")


def numbered(count: int, augmentation: Augment = Augment()) -> TensorSplit:  # noqa: B008
    """Image i is i all over, its label is i too."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 2, 4, 4)
    labels = torch.arange(count)
    return TensorSplit(images.clone(), labels, (0.5, 0.0), (0.5, 2.0), augmentation)


def labels_of(split: TensorSplit | LoaderSplit | StreamSplit, size: int, **how: int) -> list[int]:
    return [int(label) for _, labels in split.batches(size, **how) for label in labels]


def test_plain_pass_has_every_image_in_order_and_normalised() -> None:
    batches = list(numbered(7).batches(3))
    assert [len(y) for _, y in batches] == [3, 3, 1]
    assert torch.cat([y for _, y in batches]).tolist() == list(range(7))
    x = torch.cat([x for x, _ in batches])
    assert x.dtype == torch.float32
    expected = torch.tensor([(5 / 255 - 0.5) / 0.5, (5 / 255 - 0.0) / 2.0])
    assert torch.allclose(x[5, :, 0, 0], expected)


def test_training_pass_is_shuffled_by_seed_and_epoch_and_drops_the_rest() -> None:
    split = numbered(50)
    first, again, next_epoch, other_seed = (
        labels_of(split, 8, augment=True, seed=seed, epoch=epoch)
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert first == again
    assert len({tuple(first), tuple(next_epoch), tuple(other_seed)}) == 3
    assert len(set(first)) == len(first) == 48
    assert split.steps(8) == 6


def test_a_batch_is_never_larger_than_the_split() -> None:
    split = numbered(5)
    assert sorted(labels_of(split, 32, augment=True)) == [0, 1, 2, 3, 4]
    assert split.steps(32) == 1


def test_passes_leave_the_callers_random_state_alone() -> None:
    state = torch.get_rng_state()
    labels_of(numbered(20, Augment(1, flip=True)), 8, augment=True)
    assert torch.equal(torch.get_rng_state(), state)


def test_float_images_are_handed_out_as_they_are() -> None:
    images = torch.randn(3, 1, 2, 2)
    x, _ = next(TensorSplit(images, torch.zeros(3, dtype=torch.long)).batches(3))
    assert torch.equal(x, images)


@settings(max_examples=25, deadline=None)
@given(padding=st.integers(0, 3), flip=st.booleans(), seed=st.integers(0, 1000))
def test_every_augmented_image_is_some_crop_of_the_padded_one(
    padding: int, flip: bool, seed: int
) -> None:
    images = torch.randint(1, 255, (4, 2, 5, 6), generator=torch.Generator().manual_seed(seed))
    moved = move_and_flip(images, Augment(padding, flip), torch.Generator().manual_seed(seed))
    assert moved.shape == images.shape
    for before, after in zip(images, moved, strict=True):
        mirrors = [before, before.flip(2)] if flip else [before]
        assert any(torch.equal(crop, after) for image in mirrors for crop in crops(image, padding))


def crops(image: Tensor, padding: int) -> list[Tensor]:
    padded = torch.nn.functional.pad(image, [padding] * 4)
    _, height, width = image.shape
    reach = range(2 * padding + 1)
    return [padded[:, y : y + height, x : x + width] for y in reach for x in reach]


def test_shifts_and_mirrors_are_drawn_evenly() -> None:
    images = torch.zeros(6000, 1, 3, 3, dtype=torch.uint8)
    images[:, :, 1, 1] = 1  # the one bright pixel is never moved out
    how = Augment(padding=1)
    counts = move_and_flip(images, how, torch.Generator().manual_seed(0)).float().sum(0)[0]
    assert torch.allclose(counts / 6000, torch.full((3, 3), 1 / 9), atol=0.02)
    images = torch.tensor([0, 1], dtype=torch.uint8).expand(6000, 1, 1, 2)
    mirrored = move_and_flip(images, Augment(flip=True), torch.Generator().manual_seed(0))
    assert mirrored[:, 0, 0, 0].float().mean().item() == pytest.approx(0.5, abs=0.03)


@given(images=st.integers(2, 200), share=st.floats(0.05, 0.5), seed=st.integers(0, 99))
def test_cut_parts_the_images_and_a_limit_leaves_validation_alone(
    images: int, share: float, seed: int
) -> None:
    asked = Request(seed=seed, validation_fraction=share)
    train, validation = asked.cut(images)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(images))
    assert len(validation) == max(1, round(images * share))
    fewer, same = replace(asked, train_images=3).cut(images)
    assert torch.equal(same, validation)
    assert torch.equal(fewer, train[:3])


@given(seed=st.integers(0, 2**40), number=st.integers(0, 10**6))
def test_mixed_seeds_are_seeds(seed: int, number: int) -> None:
    assert torch.Generator().manual_seed(mix(seed, number)).initial_seed() == mix(seed, number)
    assert mix(seed, number) != mix(seed, number + 1)


class Noisy(Dataset[tuple[Tensor, int]]):
    """Item i: three random numbers and the label i."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 11:
            raise DataError("every image must be readable, but eleven is not")
        return torch.rand(3, 1, 1), index


# Python 3.12 and later warn of torch's own way to start workers on Linux
FORK = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def loader_split(workers: int, images: int = 10) -> LoaderSplit:
    return LoaderSplit(Noisy(), Noisy(), torch.arange(images), CPU, workers=workers)


@FORK
def test_loader_split_draws_the_same_with_any_number_of_workers() -> None:
    state = torch.get_rng_state()
    here, there = (
        [torch.cat(part) for part in zip(*split.batches(4, augment=True, seed=3), strict=True)]
        for split in (loader_split(0), loader_split(2))
    )
    assert torch.equal(here[0], there[0])
    assert torch.equal(here[1], there[1])
    assert here[1].dtype == torch.int64
    assert len(here[1]) == 8 == 4 * loader_split(0).steps(4)
    other = torch.cat([x for x, _ in loader_split(0).batches(4, augment=True, seed=4)])
    assert not torch.equal(here[0], other)
    assert torch.equal(torch.get_rng_state(), state)


def test_loader_split_subset_keeps_the_asked_order() -> None:
    split = loader_split(0).subset(torch.tensor([7, 2, 5]))
    assert labels_of(split, 2) == [7, 2, 5]
    assert split.indexable() is split


@FORK
@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_told_in_one_line(workers: int) -> None:
    with pytest.raises(DataError, match=r"eleven is not$") as caught:
        labels_of(loader_split(workers, images=12), 12)
    assert "\n" not in str(caught.value)


def stream() -> StreamSplit:
    data = TensorDataset(torch.randn(20, 3), torch.arange(20))
    return StreamSplit(DataLoader(data, batch_size=6, shuffle=True), CPU, 20)


def test_stream_split_repeats_the_users_shuffling_by_seed() -> None:
    split = stream()
    state = torch.get_rng_state()
    first = labels_of(split, 1, augment=True, seed=0, epoch=0)
    torch.rand(5)  # whatever else draws in between
    again = labels_of(split, 1, augment=True, seed=0, epoch=0)
    other = labels_of(split, 1, augment=True, seed=0, epoch=1)
    assert first == again != other
    assert sorted(other) == list(range(20))
    torch.set_rng_state(state)
    labels_of(split, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert (len(split), split.steps(1)) == (20, 4)


def test_stream_split_holds_images_so_that_they_can_be_indexed() -> None:
    split = stream()
    held = split.indexable()
    assert held is split.indexable()
    chosen = split.subset(torch.tensor([4, 0]))
    assert chosen.labels.tolist() == [int(held.labels[4]), int(held.labels[0])]
