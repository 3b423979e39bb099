"""Splits of any batches: inputs found in them, items taken out and put together again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from search.data.batches import AnySplit, InputsOf, any_split
from search.data.loaders import HELD_IMAGES
from spaces.errors import DataError

CPU = torch.device("cpu")


class Named(nn.Module):
    def forward(self, image: Tensor, extra: Tensor, labels: Tensor | None = None) -> Tensor:
        return image.mean() + extra.mean() + (0 if labels is None else labels.mean())


class Anything(nn.Module):
    def forward(self, **inputs: Tensor) -> Tensor:
        return inputs["x"]


def rows(count: int) -> dict[str, Tensor]:
    numbers = torch.arange(count, dtype=torch.float32)
    return {"image": numbers.view(-1, 1), "extra": -numbers, "labels": numbers, "weight": numbers}


def batched(size: int, count: int = 10) -> list[dict[str, Tensor]]:
    whole = rows(count)
    return [
        {k: v[i : i + size] for k, v in whole.items()} for i in range(0, len(whole["image"]), size)
    ]


def split(loader: Any, inputs: Any = None) -> AnySplit:
    return AnySplit(loader, inputs or InputsOf.of(Named()), CPU)


@pytest.mark.parametrize(
    ("model", "batch", "inputs"),
    [
        (Named(), {"image": 1, "extra": 2, "labels": 3, "id": 4}, {"image": 1, "extra": 2}),
        (Anything(), {"x": 1, "labels": 3, "id": 4}, {"x": 1, "id": 4}),
        (Named(), (1, 2), 1),
        (Named(), [1, 2], 1),
        (Named(), (1, 2, 3), (1, 2, 3)),
        (Named(), 1, 1),
    ],
)
def test_the_inputs_of_a_batch(model: nn.Module, batch: Any, inputs: Any) -> None:
    assert InputsOf.of(model)(batch) == inputs


def test_batches_come_as_the_loader_gives_them() -> None:
    loader = batched(4)
    found = list(split(loader).batches(99, augment=True))
    assert [batch for _, batch in found] == loader
    assert [{*inputs} for inputs, _ in found] == [{"image", "extra"}] * 3
    assert split(loader).steps(99) == 3
    assert len(split(loader)) == 10


def test_a_loaders_length_is_that_of_its_data_set_unless_it_drops_some() -> None:
    data = TensorDataset(torch.zeros(10, 2), torch.zeros(10))
    whole, dropped = (DataLoader(data, batch_size=4, drop_last=drop) for drop in (False, True))
    first = InputsOf(None)
    assert len(split(whole, first)) == 10
    assert len(split(dropped, first)) == 8


def test_items_are_taken_out_and_put_together() -> None:
    held = split(batched(4)).indexable()
    assert len(held) == 10
    drawn = held.subset(torch.tensor([7, 2, 9]))
    (inputs, batch), (last, _) = drawn.batches(2)
    assert inputs["image"].flatten().tolist() == [7, 2]
    assert batch["labels"].tolist() == [7, 2]
    assert last["extra"].tolist() == [-9]


def test_a_pass_to_train_is_shuffled_by_seed_and_epoch_without_the_ragged_end() -> None:
    held = split(batched(4)).indexable()

    def order(seed: int, epoch: int) -> list[float]:
        batches = held.batches(4, augment=True, seed=seed, epoch=epoch)
        return [x for inputs, _ in batches for x in inputs["extra"].tolist()]

    assert len(order(0, 0)) == 8
    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) != order(1, 1)


def test_batches_whose_items_cannot_be_told_apart_stay_whole() -> None:
    """Boxes of all images in one tensor, as detectors have them."""
    batches = [
        (torch.zeros(2, 3, 4, 4), torch.zeros(5, 6)),
        (torch.zeros(2, 3, 4, 4), torch.ones(1, 6)),
    ]
    held = split(batches).indexable()
    assert len(held) == 2
    assert [boxes.shape for _, (_, boxes) in held.batches(64)] == [(5, 6), (1, 6)]


def test_items_of_other_shapes_are_not_put_together() -> None:
    batches = [(torch.zeros(1, 3, side, side), torch.zeros(1)) for side in (4, 6)]
    shapes = [inputs.shape[-1] for inputs, _ in split(batches).indexable().batches(64)]
    assert shapes == [4, 6]


def test_no_more_is_held_than_is_needed() -> None:
    read = []

    class Endless:
        def __len__(self) -> int:
            return 100

        def __iter__(self) -> Any:
            for _ in range(100):
                read.append(1)
                yield torch.zeros(HELD_IMAGES // 2, 3), torch.zeros(HELD_IMAGES // 2)

    assert len(split(Endless()).indexable()) == HELD_IMAGES
    assert len(read) == 2


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (TensorDataset(torch.zeros(3, 2)), "train must be an iterable of batches with a length"),
        (iter([1]), "train must be an iterable of batches with a length"),
        (3, "but got int; wrap it in one"),
    ],
)
def test_what_is_no_loader_is_refused(part: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        any_split(part, "train", InputsOf(None), CPU)


def broken() -> Any:
    class Broken(list[Any]):
        def __iter__(self) -> Any:
            yield torch.zeros(2, 3), torch.zeros(2)
            raise ValueError("truncated 123.jpg")

    return Broken([0, 0])


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        (broken(), "truncated 123.jpg"),
        ([], "must give at least 1 batch"),
        ([{"text": "no tensor"}], "must have a tensor among their inputs"),
    ],
)
def test_what_goes_wrong_with_a_loader_is_one_line(loader: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as told:
        list(split(loader).batches(1))
    assert "\n" not in str(told.value)


def test_what_is_no_tensor_keeps_no_items_apart() -> None:
    batches = [{"image": torch.zeros(1, 1), "extra": torch.zeros(1), "file": f"{i}"} for i in "ab"]
    ((inputs, batch),) = split(batches).indexable().batches(64)
    assert inputs["image"].shape == (2, 1)
    assert batch["file"] == "a"
