"""Data that people bring, good and bad: ``fuzz.strange_data:NAME``; images (1, 8, 8)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

CLASSES = 10
DATA: dict[str, Callable[..., Any]] = {}


def given(name: str, parts: Callable[[], Any]) -> None:
    """Enter a function that returns what ``parts`` does."""
    DATA[name] = globals()[name] = lambda: parts()


def raising(error: BaseException) -> Any:
    """An expression that raises."""
    raise error


def images(count: int = 60, *shape: int) -> Tensor:
    """Bright where the label says: something can be learnt."""
    x = torch.rand(count, *(shape or (1, 8, 8)), generator=torch.Generator().manual_seed(0))
    return x + labels(count).view(-1, *[1] * (x.dim() - 1)) / CLASSES


def labels(count: int = 60) -> Tensor:
    """Every class in turn."""
    return torch.arange(count) % CLASSES


def tensors(x: Tensor | None = None, y: Tensor | None = None) -> TensorDataset:
    """A good data set but for what is given."""
    x = images() if x is None else x
    return TensorDataset(x, labels(len(x)) if y is None else y)


def thrice(part: Callable[[], Any]) -> Callable[[], tuple[Any, Any, Any]]:
    """The same kind of part for training, validation and test."""
    return lambda: (part(), part(), part())


class Items(Dataset[Any]):
    """A map-style data set whose items ``item(index)`` makes."""

    def __init__(self, item: Callable[[int], Any], length: Any = 60) -> None:
        self.item, self.length = item, length

    def __len__(self) -> int:
        return self.length() if callable(self.length) else self.length

    def __getitem__(self, index: int) -> Any:
        return self.item(index)


class Stream(IterableDataset[Any]):
    """Items without a length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(zip(images(), labels(), strict=True))


class Batches:
    """Batches made by ``make``, so many as it says."""

    def __init__(self, make: Callable[[], Any], length: Any = 4) -> None:
        self.make, self.length = make, length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return (self.make() for _ in range(4))


def item(index: int) -> tuple[Tensor, int]:
    """A good one."""
    return torch.full((1, 8, 8), index % CLASSES / CLASSES), index % CLASSES


def late(error: BaseException) -> Callable[[int], Any]:
    """Good items but for one."""
    return lambda index: raising(error) if index == 37 else item(index)


def labelled(y: Any) -> Callable[[], TensorDataset]:
    """A good data set but for its labels."""
    return lambda: tensors(y=y() if callable(y) else y)


def classed(classes: Any) -> Callable[[], TensorDataset]:
    """A good data set that names its classes."""

    def part() -> TensorDataset:
        data = tensors()
        data.classes = classes  # type: ignore[attr-defined]
        return data

    return part


def instead(place: int, part: Callable[[], Any]) -> Callable[[], list[Any]]:
    """Good parts but for one."""

    def parts() -> list[Any]:
        good: list[Any] = [tensors(), tensors(), tensors()]
        good[place] = part()
        return good

    return parts


empty = images(0)

given("good", thrice(tensors))
given("good_items", thrice(lambda: Items(item)))
given("good_loader", thrice(lambda: DataLoader(tensors(), batch_size=16)))
given("good_batches", thrice(lambda: Batches(lambda: (images(16), labels(16)))))
given("good_list", thrice(lambda: [(images(16), labels(16))] * 3))
given("none", lambda: None)
given("two_parts", lambda: (tensors(), tensors()))
given("four_parts", lambda: (tensors(),) * 4)
given("one_part", tensors)
given("a_dict", lambda: dict.fromkeys(("train", "validation", "test"), tensors()))
given("a_generator", lambda: (tensors() for _ in range(3)))
given("nones", lambda: (None, None, None))
given("strings", lambda: ("train", "val", "test"))
given("numbers", lambda: (1, 2, 3))
given("arrays", thrice(lambda: np.zeros((60, 1, 8, 8))))
given("bare_tensors", thrice(images))
given("pairs", thrice(lambda: (images(), labels())))
given("lists_of_items", thrice(lambda: [item(i) for i in range(60)]))
given("empty_lists", thrice(list))
given("raises", lambda: raising(FileNotFoundError(2, "No such file", "/data")))
given("raises_lines", lambda: raising(ValueError("a\nb")))
given("raises_exit", lambda: sys.exit(5))
given("raises_interrupt", lambda: raising(KeyboardInterrupt()))
given("unlabelled", thrice(lambda: TensorDataset(images())))
given("thrice_labelled", thrice(lambda: TensorDataset(images(), labels(), labels())))
given("float_labels", thrice(labelled(lambda: labels().float())))
given("fraction_labels", thrice(labelled(lambda: labels() + 0.5)))
given("nan_labels", thrice(labelled(lambda: labels() * float("nan"))))
given("negative_labels", thrice(labelled(lambda: labels() - 1)))
given("ignored_labels", thrice(labelled(lambda: torch.full((60,), -100))))
given("huge_labels", thrice(labelled(lambda: labels() * 10**12)))
given("many_labels", thrice(labelled(lambda: labels() * 1000)))
given("one_label", thrice(labelled(lambda: torch.zeros(60, dtype=torch.long))))
given("one_hot", thrice(labelled(lambda: torch.eye(10)[labels()])))
given("column_labels", thrice(labelled(lambda: labels()[:, None])))
given("bool_labels", thrice(labelled(lambda: labels() > 4)))
given("complex_labels", thrice(labelled(lambda: labels().to(torch.complex64))))
given("nan_images", thrice(lambda: tensors(images() * float("nan"))))
given("infinite_images", thrice(lambda: tensors(images() / 0)))
given("huge_images", thrice(lambda: tensors(images() * 1e30)))
given("byte_images", thrice(lambda: tensors((images() * 100).byte())))
given("whole_images", thrice(lambda: tensors((images() * 100).long())))
given("double_images", thrice(lambda: tensors(images().double())))
given("half_images", thrice(lambda: tensors(images().half())))
given("complex_images", thrice(lambda: tensors(images().to(torch.complex64))))
given("bool_images", thrice(lambda: tensors(images() > 1)))
given("flat_images", thrice(lambda: tensors(images(60, 64))))
given("plain_images", thrice(lambda: tensors(images(60, 8, 8))))
given("deep_images", thrice(lambda: tensors(images(60, 1, 1, 8, 8))))
given("scalar_images", thrice(lambda: tensors(torch.rand(60))))
given("colour_images", thrice(lambda: tensors(images(60, 3, 8, 8))))
given("tiny_images", thrice(lambda: tensors(images(60, 1, 1, 1))))
given("sizeless_images", thrice(lambda: tensors(images(60, 1, 0, 0))))
given("sparse_images", thrice(lambda: TensorDataset(images().to_sparse(), labels())))
given("meta_images", thrice(lambda: tensors(images().to("meta"))))
given("with_gradients", thrice(lambda: tensors(images().requires_grad_())))
given("one_image", thrice(lambda: tensors(images(1))))
given("two_images", thrice(lambda: tensors(images(2))))
given("no_training", instead(0, lambda: tensors(empty)))
given("no_validation", instead(1, lambda: tensors(empty)))
given("no_test", instead(2, lambda: tensors(empty)))
given("other_validation", instead(1, lambda: tensors(images(60, 1, 9, 9))))
given("other_test", instead(2, lambda: tensors(images(60, 3, 8, 8))))
given("test_of_more_classes", instead(2, labelled(lambda: labels() + 5)))
given("validation_of_more_classes", instead(1, labelled(lambda: labels() + 5)))
given("test_raises", instead(2, lambda: Items(late(KeyError("image 37")))))
given("training_is_none", instead(0, lambda: None))
given("items_raise", thrice(lambda: Items(late(KeyError("image\n37")))))
given("first_item_raises", thrice(lambda: Items(lambda _: raising(OSError()))))
given("items_exit", thrice(lambda: Items(late(SystemExit(4)))))
given("items_stop", thrice(lambda: Items(late(StopIteration()))))
given("item_dicts", thrice(lambda: Items(lambda i: dict(zip("xy", item(i), strict=True)))))
given("item_triples", thrice(lambda: Items(lambda i: (*item(i), i))))
given("item_images", thrice(lambda: Items(lambda i: item(i)[0])))
given("item_nones", thrice(lambda: Items(lambda _: None)))
given("item_strings", thrice(lambda: Items(lambda i: (item(i)[0], "cat"))))
given("item_arrays", thrice(lambda: Items(lambda i: (item(i)[0].numpy(), np.int64(i % 10)))))
given("item_sizes", thrice(lambda: Items(lambda i: (torch.zeros(1, 8 + i % 2, 8), i % 10))))
given("item_labels_missing", thrice(lambda: Items(lambda i: (item(i)[0], None))))
given("item_labels_negative", thrice(lambda: Items(lambda i: (item(i)[0], -i))))
given("length_lies", thrice(lambda: Items(lambda i: item(i) if i < 40 else raising(IndexError()))))
given("length_raises", thrice(lambda: Items(item, lambda: raising(TypeError("no length")))))
given("length_negative", thrice(lambda: Items(item, -1)))
given("length_float", thrice(lambda: Items(item, 60.0)))
given("length_none", thrice(lambda: Items(item, 0)))
given("streams", thrice(Stream))
given("stream_loaders", thrice(lambda: DataLoader(Stream(), batch_size=16)))
given("unbatched_loaders", thrice(lambda: DataLoader(tensors(), batch_size=None)))
given("raising_loaders", thrice(lambda: DataLoader(Items(late(KeyError("x"))), batch_size=16)))
given("dict_batches", thrice(lambda: Batches(lambda: {"x": images(16), "y": labels(16)})))
given("image_batches", thrice(lambda: Batches(lambda: images(16))))
given("none_batches", thrice(lambda: Batches(lambda: None)))
given("array_batches", thrice(lambda: Batches(lambda: (images(16).numpy(), labels(16).numpy()))))
given("uneven_batches", thrice(lambda: Batches(lambda: (images(16), labels(15)))))
given("raising_batches", thrice(lambda: Batches(lambda: raising(ZeroDivisionError("never")))))
given("exiting_batches", thrice(lambda: Batches(lambda: sys.exit(2))))
given("endless_batches", thrice(lambda: Batches(lambda: (images(16), labels(16)), 10**9)))
given("lengthless", thrice(lambda: iter([(images(16), labels(16))])))
given("negative_batches", thrice(lambda: Batches(lambda: (images(16), labels(16)), -3)))
given("fewer_batches", thrice(lambda: Batches(lambda: (images(16), labels(16)), 40)))
given("classes_number", thrice(classed(10)))
given("classes_none", thrice(classed([])))
given("classes_few", thrice(classed(["a", "b"])))
given("classes_one", thrice(classed(["a"])))
given("classes_many", thrice(classed([str(i) for i in range(12)])))


def needs_arguments(first: int, second: int) -> Any:
    """Cannot be called without."""
    return first + second


DATA["needs_arguments"] = needs_arguments
