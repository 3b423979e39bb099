"""Values as source: what is evaluated is what was written."""

from __future__ import annotations

import collections
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor

from search.exporting.literals import literal
from spaces import DataError


def again(value: Any) -> Any:
    tensors: dict[str, Tensor] = {}
    text = literal(value, "extra/here", tensors, "extra")
    return eval(text, {"torch": torch, "collections": collections, "extra": tensors})


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        'it\'s "so"\n',
        -1.5,
        float("inf"),
        b"\0",
        [],
        (),
        (1,),
        {"a": [1, (2, {"b": {3}})], 4: None},
        set(),
        OrderedDict([("b", (1, 2)), ("a", 2)]),
        torch.Size([2, 3]),
        torch.float16,
        torch.device("cpu"),
    ],
    ids=repr,
)
def test_plain_values(value: Any) -> None:
    assert again(value) == value
    assert repr(again(value)) == repr(value)


def test_tensors_are_taken_from_a_table() -> None:
    value = {"a": torch.arange(3), "b": [torch.zeros(1)]}
    assert torch.equal(again(value)["a"], value["a"])  # type: ignore[arg-type]
    tensors: dict[str, Tensor] = {}
    literal(value, "extra/x", tensors, "extra")
    assert list(tensors) == ["extra/x/a", "extra/x/b/0"]


def test_anything_else_is_named() -> None:
    with pytest.raises(DataError, match="'extra/x/a/1' is a function; export --to pt2"):
        literal({"a": [1, again]}, "extra/x", {}, "extra")
