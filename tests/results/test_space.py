"""The stored costs are the space's own, to the last unit, whatever version reads them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import optuna
from hypothesis import given, settings
from hypothesis import strategies as st

from results import SpaceRecord, store
from results.space import Coefficients
from spaces.cost import Polynomial
from spaces.widths import WidthGroup, WidthSpace

WHOLE = st.integers(-(2**53), 2**53)


@st.composite
def polynomials(draw: st.DrawFn, count: int) -> Polynomial:
    """Integers that float64 holds exactly, most products of two widths free."""
    square = np.zeros((count, count))
    for _ in range(draw(st.integers(0, 4)) if count else 0):
        place = draw(st.tuples(*[st.integers(0, count - 1)] * 2))
        square[place] = draw(WHOLE)
    linear = draw(st.lists(WHOLE, min_size=count, max_size=count))
    return Polynomial(float(draw(WHOLE)), np.array(linear, dtype=float), square)


@settings(max_examples=50)
@given(st.lists(st.text(max_size=4), max_size=4, unique=True), st.data())
def test_costs_survive_json_exactly(names: list[str], data: st.DataObject) -> None:
    groups = tuple(WidthGroup(name, (k + 1, 2 * k + 2)) for k, name in enumerate(names))
    flops, params = (data.draw(polynomials(len(names))) for _ in range(2))
    record = SpaceRecord.of(WidthSpace(groups, flops, params))
    again = SpaceRecord.from_json(record.to_json())
    assert again == record
    back = again.as_space()
    assert tuple(back.groups) == groups
    for mine, theirs in ((back.flops_of, flops), (back.params_of, params)):
        assert mine.constant == theirs.constant
        assert np.array_equal(mine.linear, theirs.linear)
        assert np.array_equal(mine.square, theirs.square)


def test_coefficients_are_whole_numbers_and_nothing_is_kept_of_what_is_free() -> None:
    polynomial = Polynomial(3.0, np.array([1.0, 0.0]), np.array([[0.0, 5.0], [0.0, 0.0]]))
    made = Coefficients.of(polynomial)
    assert made == Coefficients(3, (1, 0), ((0, 1, 5),))
    record = SpaceRecord((WidthGroup("a", (1, 2)), WidthGroup("b", (2, 4))), made, made)
    assert json.loads(record.to_json())["flops"] == {
        "constant": 3,
        "linear": [1, 0],
        "square": [[0, 1, 5]],
    }
    assert record.as_space().full_flops == 3 + 2 + 5 * 2 * 4


def test_a_run_of_an_older_version_has_none_and_a_damaged_one_is_told() -> None:
    study: Any = optuna.create_study()
    assert store.load(study, store.SPACE) == SpaceRecord()
    study.set_user_attr("space", '{"groups": [{"na')
    assert store.load(study, store.SPACE) == SpaceRecord()
    assert store.left_out(study) == ["the record of the space is damaged and was left out"]
