"""Records survive JSON exactly, whatever number types they were made from."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results import FinalRecord, TrialRecord
from spaces import Policy

fractions = st.floats(0, 1)
names = st.text(min_size=1, max_size=12)


@given(
    widths=st.dictionaries(names, st.integers(1, 4096), min_size=1, max_size=5),
    proxies=st.dictionaries(names, st.floats(allow_nan=False), max_size=3),
    accuracy=st.lists(fractions, max_size=3),
    reason=st.text(max_size=30),
)
def test_trial_record_round_trip(
    widths: dict[str, int], proxies: dict[str, float], accuracy: list[float], reason: str
) -> None:
    record = TrialRecord(
        number=3,
        policy=Policy(widths),
        origin="tpe",
        flops=123,
        flops_fraction=0.5,
        params=45,
        proxies=proxies,
        accuracy=tuple(accuracy),
        epochs=tuple(range(1, len(accuracy) + 1)),
        state="complete",
        reason=reason,
    )
    again = TrialRecord.from_json(record.to_json())
    assert again == record
    assert list(again.policy) == list(record.policy)


def test_values_that_are_not_finite_stay_valid_json(record) -> None:
    made = record(1, (math.nan,), proxies={"a": math.inf, "b": -math.inf, "c": math.nan})
    json.loads(made.to_json(), parse_constant=pytest.fail)
    again = TrialRecord.from_json(made.to_json())
    assert again.proxies["a"] == math.inf
    assert again.proxies["b"] == -math.inf
    assert math.isnan(again.proxies["c"])
    assert math.isnan(again.accuracy[0])


def test_numpy_scalars_become_plain_numbers(record) -> None:
    made = record(
        np.int64(4), (np.float32(0.5),), params=np.int32(7), proxies={"a": np.float32(0.25)}
    )
    again = TrialRecord.from_json(made.to_json())
    assert (again.number, again.accuracy, again.params) == (4, (0.5,), 7)
    assert type(again.proxies["a"]) is float


@pytest.mark.parametrize("policy", [None, Policy({"stem": 4})])
def test_final_record_round_trip(final, policy: Policy | None) -> None:
    made = final("trial 3", "searched", policy, number=3, best=True)
    assert FinalRecord.from_json(made.to_json()) == made


def test_rung_and_val_accuracy_follow_the_climb(record) -> None:
    assert (record(1, (0.6, 0.8)).rung, record(1, (0.6, 0.8)).val_accuracy) == (2, 0.8)
    assert record(1).rung == 0
    assert math.isnan(record(1).val_accuracy)


def test_a_record_from_before_criteria_were_searched_has_none(record, final) -> None:
    for made in (record(1), final("trial 1", "searched", Policy({"stem": 8}))):
        old = json.loads(made.to_json())
        assert old.pop("criterion") == "second_order"
        again = type(made).from_json(json.dumps(old))
        assert (again.criterion, again.tried) == ("", (made.policy, ""))
        assert again != made == type(made).from_json(made.to_json())
