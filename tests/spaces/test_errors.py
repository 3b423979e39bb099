"""Errors of the user's own code: the line of it that raised them is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from spaces.errors import ModelError, UserError, blamed, in_one_line, users_line

HERE = Path(__file__)


def line_of(words: str, file: Path = HERE) -> str:
    """``FILE, line N`` of the first line with these words, as an error tells it."""
    number = next(n for n, line in enumerate(file.read_text().splitlines(), 1) if words in line)
    return f"{os.path.relpath(file)}, line {number}"


def of(text: str) -> Exception:
    """An error with that message, as it is caught."""
    try:
        raise ValueError(text)  # here
    except ValueError as error:
        return error


def test_the_line_that_raised_it_is_told_after_the_first_line_of_the_message() -> None:
    assert blamed(of("a\nb")) == f"ValueError: a ({line_of('# here')})"


def test_of_what_a_library_raised_the_line_that_called_it_is_told() -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")  # decoded
    assert users_line(caught.value) == line_of("# decoded")


def test_what_our_own_code_raises_is_nobodys_line() -> None:
    with pytest.raises(UserError) as caught:
        __import__("spaces").Budget.parse("many")
    assert users_line(caught.value) == ""
    assert blamed(KeyError("never raised")) == "KeyError: 'never raised'"


def test_of_a_loaders_worker_its_own_error_and_line_are_told() -> None:
    module = HERE.with_name("data.py")
    text = (
        "Caught Broken in DataLoader worker process 0.\n"
        "Original Traceback (most recent call last):\n"
        f'  File "{module}", line 3, in open\n    raise OSError()\nOSError\n\n'
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n"
        f'  File "{torch.__file__}", line 54, in _worker_loop\n    data = fetcher.fetch(index)\n'
        f'  File "{module}", line 7, in __getitem__\n    raise Broken(path)\n'
        "mine.data.Broken: truncated jpeg 123.jpg\nsecond line\n"
    )
    where = f"{os.path.relpath(module)}, line 7"
    assert blamed(of(text)) == f"Broken: truncated jpeg 123.jpg ({where})"


def test_in_one_line_tells_the_line_too() -> None:
    with (
        pytest.raises(ModelError) as caught,
        in_one_line(ModelError, "it must run, but", "mend it"),
    ):
        raise KeyError("x")  # inside
    told = f"it must run, but KeyError: 'x' ({line_of('# inside')}); mend it"
    assert str(caught.value) == told
