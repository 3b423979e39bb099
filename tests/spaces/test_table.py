"""A table names things, and imports one when it is asked for."""

from __future__ import annotations

import sys
from fractions import Fraction

import pytest

from spaces.table import Table


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table[object]:
    monkeypatch.delitem(sys.modules, "xml.sax.handler", raising=False)
    places = {"none": "sax.handler:ErrorHandler", "version": "sax.handler:version"}
    return Table("xml", places)


def test_names_are_read_without_an_import(table: Table[object]) -> None:
    assert (list(table), len(table), "none" in table, "more" in table) == (
        ["none", "version"],
        *(2, True, False),
    )
    assert "xml.sax.handler" not in sys.modules


def test_a_class_is_called_once_and_anything_else_is_the_thing(table: Table[object]) -> None:
    assert type(table["none"]).__name__ == "ErrorHandler"
    assert table["none"] is table["none"]
    assert isinstance(table["version"], str)


def test_a_package_itself_may_have_the_thing() -> None:
    half: Table[Fraction] = Table("fractions", {"zero": ":Fraction"})
    assert half["zero"] == 0


def test_things_can_be_added_and_taken_away(table: Table[object]) -> None:
    table["more"] = 3
    assert (table["more"], [*table]) == (3, ["none", "version", "more"])
    del table["more"], table["none"]
    assert [*table] == ["version"]
    with pytest.raises(KeyError):
        table["none"]
