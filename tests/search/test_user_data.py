"""The user's data: whatever is in it or is raised by it is one line that names it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from fuzz.strange_data import DATA
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from search import data
from search.data.checked import Items, Stream, batch
from search.data.loaders import LoaderSplit
from spaces import UserError

WRONG = {
    "unlabelled": "must come in batches (images, labels) of one tensor each, but a batch is",
    "fraction_labels": "must have whole numbers as labels, but have torch.float32",
    "negative_labels": "must have labels from 0 on, but one is -1",
    "one_hot": "must have one class number an input, (N,), but have labels (60, 10)",
    "nan_images": "but 60 of 60 have NaN or infinity, the first at 0; mend such images, or l",
    "infinite_images": "finite numbers as its input, but 60 of 60 have NaN or infinity, the first",
    "byte_images": "but they are uint8; make them floats, normalised",
    "sparse_images": "must have dense inputs with values",
    "scalar_images": "must have inputs (N, C, H, W), but they are (60,)",
    "classes_few": "must have labels below 2, the number of classes, but one is 9",
    "one_label": "must have at least 2 classes, but has 1",
    "other_test": "(1, 8, 8) in validation and (3, 8, 8) in test",
    "test_of_more_classes": "must have labels below 10, the number of classes, but one is 14",
    "raises_exit": "must return, but it failed with SystemExit: 5",
    "items_raise": "item 37 of 'fuzz.strange_data:items_raise' must be readable, but reading fail",
    "items_exit": "reading failed with SystemExit: 4",
    "item_triples": "must be (input, label), but is tuple of 3 (Tensor, int, int)",
    "item_strings": "must have a whole number as its label, but has 'cat' (str)",
    "item_sizes": "images must fit into one batch, but together they give RuntimeError: stack",
    "length_float": "with a length, but that of a Items cannot be had: TypeError",
    "stream_loaders": "with a length, but that of a Stream cannot be had",
    "dict_batches": "of one tensor each, but a batch is {x: (16, 1, 8, 8), y: (16,)}",
    "uneven_batches": "have labels (15,) for inputs (16, 1, 8, 8)",
    "endless_batches": "must give as many batches as its length says, but it says 1000000000",
    "raising_batches": "reading failed with ZeroDivisionError: never",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_the_users_data_is_one_line(name: str) -> None:
    with pytest.raises(UserError) as refusal:
        data.load(f"fuzz.strange_data:{name}")
    assert WRONG[name] in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", [name for name in DATA if name.startswith("good")])
def test_data_of_every_good_form_is_taken(name: str) -> None:
    splits = data.load(f"fuzz.strange_data:{name}")
    inputs, labels = next(iter(splits.validation.batches(16)))
    assert (splits.classes, splits.shape) == (10, (1, 8, 8))
    assert labels.tolist() == [n % 10 for n in range(16)]
    assert inputs.shape == (16, 1, 8, 8)


class Late(Dataset[Any]):
    """Its last item has a class that there is not."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        return torch.zeros(1, 2, 2), 7.0 if index == 3 else 1.0


def test_an_item_is_held_against_the_number_of_classes_when_it_is_read() -> None:
    items = Items(Late(), "mine:data", classes=7)
    assert items[0][1] == 1
    with pytest.raises(UserError, match=r"item 3 of 'mine:data' must have labels below 7"):
        items[3]


class Truncated(Dataset[Any]):
    """One of its images cannot be read."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 3:
            raise OSError(f"truncated jpeg {index}.jpg\nand more")
        return torch.zeros(1, 2, 2), 1


TOLD = r"reading failed with OSError: truncated jpeg 3.jpg \(\S*test_user_data.py, line \d+\)$"


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_loaders_worker_raises_is_told_with_its_own_line(workers: int) -> None:
    loader = DataLoader(Truncated(), num_workers=workers)
    with pytest.raises(UserError, match=TOLD):
        list(Stream(loader, "mine:data"))


@pytest.mark.parametrize("inner", [Truncated(), Items(Truncated(), "mine:data")])
@pytest.mark.parametrize("workers", [0, 1])
def test_so_is_what_a_data_set_raises_in_our_workers(inner: Dataset[Any], workers: int) -> None:
    split = LoaderSplit(inner, inner, torch.arange(4), torch.device("cpu"), workers=workers)
    must = r"item 3 (of 'mine:data' )?must be readable, but "
    with pytest.raises(UserError) as caught:
        list(split.batches(2))
    assert re.fullmatch(must + TOLD, str(caught.value))
    (note,) = caught.value.__notes__  # the log has it
    assert 'raise OSError(f"truncated jpeg {index}.jpg' in note


class Unmeasured(Dataset[Any]):
    """One of its images is not finite."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.full((1, 2, 2), float("nan") if index == 3 else 1.0), 1


def test_an_image_that_is_not_finite_is_named() -> None:
    items = Items(Unmeasured(), "mine:data")
    assert items[2][1] == 1
    must = r"item 3 of 'mine:data' must have finite numbers .* but it has NaN or infinity; mend"
    with pytest.raises(UserError, match=must):
        items[3]
    with pytest.raises(UserError, match=r"batches of 'mine:data' .* 2 of 4 .*, the first at 1; "):
        batch((torch.tensor([[1.0], [float("inf")], [2.0], [float("nan")]]), torch.ones(4)),
              "batches of 'mine:data'")  # fmt: skip


def test_numbers_whose_sum_overflows_are_finite() -> None:
    inputs, _ = batch((torch.full((4, 2), 3e38), torch.ones(4)), "it")
    assert inputs[0, 0] > 2e38


def test_labels_come_out_as_whole_numbers_and_inputs_without_their_graph() -> None:
    inputs, labels = batch((torch.zeros(2, 3, requires_grad=True), torch.tensor([1.0, 0.0])), "it")
    assert labels.dtype == torch.int64
    assert labels.tolist() == [1, 0]
    assert not inputs.requires_grad
