"""Values are taken apart into JSON and tensors, and put together as they were."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from prune_ops.artifact.files import on_cpu
from prune_ops.artifact.structure import DTYPES, TakenApart, can_be_taken_apart, put_together
from spaces import DataError


def trip(value: Any) -> Any:
    """Through text and bytes, as a file has them."""
    apart = TakenApart()
    text = json.dumps(apart.add(value, "x"), allow_nan=False)
    return put_together(json.loads(text), load(save(on_cpu(apart.tensors))))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        10**40,
        0.1,
        float("inf"),
        "text",
        2 - 3j,
        b"\0\xff",
        bytearray(b"ab"),
        (1, (2, [3, "4"])),
        [],
        {},
        {"tensor": 1, "dict": {"tuple": ()}},
        {1: "a", (2, None): "b"},
        OrderedDict([("b", 1), ("a", 2)]),
        {1, 2},
        torch.Size([2, 3]),
        torch.float16,
        torch.device("cpu"),
    ],
    ids=repr,
)
def test_plain_values_come_back_with_their_types(value: Any) -> None:
    again = trip(value)
    assert type(again) is type(value)
    assert again == value
    assert repr(again) == repr(value)  # of what is inside too


def test_not_a_number_comes_back() -> None:
    assert trip([float("nan")])[0] != trip([float("nan")])[0]


@pytest.mark.parametrize(
    "dtype", [*sorted(DTYPES, key=str), torch.complex64, torch.complex128], ids=str
)
@pytest.mark.parametrize("shape", [(), (0, 2), (2, 3)], ids=str)
def test_tensors_come_back(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    value = (torch.rand(shape, dtype=torch.float64) * 3).to(dtype)
    again = trip({"a": [value]})["a"][0]
    assert (again.dtype, again.shape) == (dtype, shape)
    bits = [x.contiguous().reshape(-1).view(torch.uint8) for x in (again, value)]
    assert torch.equal(*bits)


def test_sparse_and_conjugated_tensors_come_back() -> None:
    sparse = torch.tensor([[0.0, 2.0], [3.0, 0.0]]).to_sparse()
    assert trip(sparse).layout == torch.sparse_coo
    assert torch.equal(trip(sparse).to_dense(), sparse.to_dense())
    turned = torch.tensor([1 + 2j]).conj()
    assert trip(turned).tolist() == [1 - 2j]


def test_one_memory_is_one_tensor_and_views_of_it_are_others() -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    state = {"a": weight, "b": weight.detach(), "row": weight[0], "turned": weight.t(), "none": {}}
    apart = TakenApart()
    made = apart.add(state)
    assert list(apart.tensors) == ["a", "row", "turned"]
    assert made["dict"]["b"] == {"tensor": "a"}
    again = trip(state)
    assert again["a"] is again["b"]
    assert again["turned"].tolist() == weight.t().tolist()


def test_names_that_are_taken_are_not_taken_twice() -> None:
    one, other = torch.zeros(1), torch.ones(1)
    apart = TakenApart()
    made = [apart.add({"kept/0": one}), apart.add([other], "kept")]
    again = [put_together(each, apart.tensors) for each in made]
    assert again == [{"kept/0": one}, [other]]


class Strange:
    pass


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_what_a_file_cannot_hold_is_named() -> None:
    nested: list[Any] = []
    nested.append(nested)
    for value, reason in (
        ({"log": [Strange()]}, r"'x/log/0' is a Strange; give numbers"),
        (nested, "nested too deeply, or in itself"),
        (Tensor([[1.0]]).to_sparse_csr(), r"'x' is float32, sparse_csr; convert it"),
    ):
        with pytest.raises(DataError, match=reason):
            TakenApart().add(value, "x")
        assert not can_be_taken_apart(value)
    assert can_be_taken_apart((torch.zeros(1), 2))


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"tuple": 3},
        {"tensor": "y"},
        {"code": "1 + 1"},
        {"a": 1, "b": 2},
        {"dtype": "load"},
        {"pairs": [1]},
    ],
    ids=str,
)
def test_what_was_never_taken_apart_is_refused(made: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        put_together(made, {"x": torch.zeros(1)})
