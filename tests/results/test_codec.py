"""Records survive JSON exactly, and what older versions wrote is still read."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, make_dataclass
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results import (
    ArmRecord,
    Candidate,
    Comparison,
    CompressionBaseline,
    FinalRecord,
    SensitivityRecord,
    SpaceRecord,
    SweepPoint,
    TrainingRecord,
    TrainingSpec,
    TrialRecord,
)
from results.codec import Stored
from results.space import Coefficients
from spaces import Policy
from spaces.widths import WidthGroup

KINDS = (
    *(TrialRecord, FinalRecord, ArmRecord, SweepPoint, Comparison),
    *(CompressionBaseline, SensitivityRecord, TrainingRecord, SpaceRecord),
)
POLICIES = st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 99), max_size=3)
st.register_type_strategy(Policy, POLICIES.map(Policy))
OPTIONS = st.dictionaries(st.text(max_size=4), st.integers() | st.text() | st.lists(st.text()))


def drawn(kind: type) -> st.SearchStrategy[Any]:
    return st.builds(kind, options=OPTIONS) if kind is Comparison else st.from_type(kind)


@given(st.sampled_from(KINDS).flatmap(drawn))
def test_every_record_survives_json(record: Any) -> None:
    text = record.to_json()
    json.loads(text, parse_constant=pytest.fail)
    assert repr(type(record).from_json(text)) == repr(record)  # nan is not equal to itself


WIDTHS = {"stem": 8, "layer1": 2}
POLICY = Policy(WIDTHS)
ARM = (
    '{"budget": "0.5", "structure": "trial 3", "kind": "searched", "best": true, "number": 3, '
    '"policy": {"stem": 8, "layer1": 2}, "flops": 500, "flops_fraction": 0.5, "params": 45, '
    '"arm": "finetune", "criterion": "l1", "lr": 0.03, "epochs": 5, "seed": 0, '
    '"val_accuracy": 0.9, "test_accuracy": "nan", "training_flops": 600, '
    '"inherited_flops": 1000, "seconds": 1.5, "reason": "diverged: nan"}'
)
POINT = (
    '{"budget": "0.5", "lr": 0.1, "epochs": 2, "seed": 3, "val_accuracy": "nan", '
    '"chosen": false, "reason": "diverged: nan"}'
)
ARM_RECORD = ArmRecord(
    *("0.5", "trial 3", "searched", True, 3, POLICY, 500, 0.5, 45, "finetune", "l1", 0.03, 5, 0),
    *(0.9, math.nan, 600, 1000, 1.5, "diverged: nan"),
)
SWEEP_POINT = SweepPoint("0.5", 0.1, 2, 3, math.nan, False, "diverged: nan")
WRITTEN: list[tuple[Any, str]] = [
    (
        TrialRecord(
            *(3, POLICY, "tpe", 500, 0.5, 45, {"adaptive_bn": 0.5, "b": math.inf}),
            *((0.6, math.nan), "scratch-b", "l1", (1, 3), 7, 2.5, (0.5, 1.0, 1.0), (0,)),
            *("stopped", "dominated at rung 1"),
        ),
        '{"number": 3, "policy": {"stem": 8, "layer1": 2}, "origin": "tpe", "flops": 500, '
        '"flops_fraction": 0.5, "params": 45, "proxies": {"adaptive_bn": 0.5, "b": "inf"}, '
        '"accuracy": [0.6, "nan"], "mode": "scratch-b", "criterion": "l1", "epochs": [1, 3], '
        '"seed": 7, "seconds": 2.5, "rung_seconds": [0.5, 1.0, 1.0], "regardless": [0], '
        '"state": "stopped", "reason": "dominated at rung 1"}',
    ),
    (
        FinalRecord(
            *("trial 3", "searched", "0.5", 3, POLICY, 500, 0.5, 45, (0, 1), (0.9, 0.91)),
            *((0.8, math.nan), (1.5, 2.0), 12, 3, 900, "finetune", True, "l1"),
        ),
        '{"name": "trial 3", "role": "searched", "budget": "0.5", "number": 3, "policy": '
        '{"stem": 8, "layer1": 2}, "flops": 500, "flops_fraction": 0.5, "params": 45, '
        '"seeds": [0, 1], "val_accuracy": [0.9, 0.91], "test_accuracy": [0.8, "nan"], '
        '"seconds": [1.5, 2.0], "epochs": 12, "layer_epochs": 3, "layer_flops": 900, '
        '"mode": "finetune", "best": true, "criterion": "l1"}',
    ),
    (
        FinalRecord("baseline", "baseline", None, None, None, 1000, 1.0, 90, (0,), (0.95,), (0.9,)),
        '{"name": "baseline", "role": "baseline", "budget": null, "number": null, "policy": null, '
        '"flops": 1000, "flops_fraction": 1.0, "params": 90, "seeds": [0], "val_accuracy": [0.95], '
        '"test_accuracy": [0.9]}',  # before layers were pruned one by one, and criteria searched
    ),
    (
        CompressionBaseline(
            *("magnitude at 0.5", "magnitude", "0.5", 1 / 3, 1000, 1.0, 45, 200, 12, 0),
            *(0.9, math.nan, 2.0),
        ),
        '{"name": "magnitude at 0.5", "way": "magnitude", "budget": "0.5", '
        '"sparsity": 0.3333333333333333, "flops": 1000, "flops_fraction": 1.0, "nonzero": 45, '
        '"bytes": 200, "epochs": 12, "seed": 0, "val_accuracy": 0.9, "test_accuracy": "nan", '
        '"seconds": 2.0}',
    ),
    (
        TrainingRecord(
            *("finals", Candidate(POLICY, "l1"), TrainingSpec(0.01, 12, layer_epochs=1), 0, 500),
            *(900, 2.0, 0.9, 0.8),
        ),
        '{"purpose": "finals", "candidate": {"policy": {"stem": 8, "layer1": 2}, "criterion": '
        '"l1"}, "spec": {"lr": 0.01, "epochs": 12, "scratch": false, "layer_epochs": 1, '
        '"sparsity": 0.0, "way": "", "zeros": 0.0}, "seed": 0, "flops": 500, "training_flops": '
        '900, "seconds": 2.0, "val_accuracy": 0.9, "test_accuracy": 0.8, "nonzero": 0, "bytes": 0, '
        '"failure": "", "reason": ""}',  # before networks were distilled
    ),
    (
        SensitivityRecord("iso_damage", "loss", "stem", 16, (4, 8), (2.0, -0.25)),
        '{"importance": "iso_damage", "unit": "loss", "group": "stem", "channels": 16, '
        '"widths": [4, 8], "damages": [2.0, -0.25]}',
    ),
    (
        SpaceRecord(
            (WidthGroup("stem", (4, 8)),),
            Coefficients(3, (5,), ((0, 0, 7),)),
            Coefficients(1, (2,)),
        ),
        '{"groups": [{"name": "stem", "choices": [4, 8]}], "flops": {"constant": 3, "linear": [5], '
        '"square": [[0, 0, 7]]}, "params": {"constant": 1, "linear": [2], "square": []}}',
    ),
    (
        Comparison(
            *({"seeds": 1, "interval": "bootstrap"}, (ARM_RECORD,), (SWEEP_POINT,), True),
            *(("a note",), 700, 3.5, 2),
        ),
        f'{{"options": {{"seeds": 1, "interval": "bootstrap"}}, "arms": [{ARM}], '
        f'"sweep": [{POINT}], "complete": true, "notes": ["a note"], "sparse_flops": 700, '
        '"sparse_seconds": 3.5, "earlier_reads": 2}',
    ),
]


REFUSED = (
    *("dict[int, float]", "tuple[float, str]", "int | str | None", "set[int]", "list[int]"),
    *("bytes", "complex", "tuple[dict[int, int], ...]", "None", "object"),
)


@pytest.mark.parametrize(("record", "text"), WRITTEN)
def test_what_older_versions_wrote_is_read(record: Any, text: str) -> None:
    back = type(record).from_json(text)
    assert repr(back) == repr(record)
    assert repr(type(record).from_json(back.to_json())) == repr(record)


def test_values_that_are_not_finite_stay_valid_json(record) -> None:
    made = record(1, (math.nan,), proxies={"a": math.inf, "b": -math.inf, "c": math.nan})
    again = TrialRecord.from_json(made.to_json())
    assert (again.proxies["a"], again.proxies["b"]) == (math.inf, -math.inf)
    assert math.isnan(again.proxies["c"])
    assert math.isnan(again.accuracy[0])


def test_numpy_scalars_become_plain_numbers(record) -> None:
    made = record(
        np.int64(4), (np.float32(0.5),), params=np.int32(7), proxies={"a": np.float32(0.25)}
    )
    again = TrialRecord.from_json(made.to_json())
    assert (again.number, again.accuracy, again.params) == (4, (0.5,), 7)
    assert type(again.proxies["a"]) is float


@pytest.mark.parametrize("text", REFUSED)
def test_a_field_that_could_not_be_read_back_is_refused(text: str) -> None:
    kind = make_dataclass("Odd", [("fine", int), ("odd", eval(text))], bases=(Stored,))
    with pytest.raises(TypeError, match=r"^Odd.odd must be of a type that `Stored` names, but is "):
        kind(1, None).to_json()


@dataclass(frozen=True, slots=True)
class Everything(Stored):
    """A field of every type that can be stored."""

    yes: bool
    word: Literal["a", "b"]
    policy: Policy | None
    nested: dict[str, tuple[Candidate, ...]]
    anything: Any
    rate: float | None = None


def test_a_field_of_every_type_comes_back() -> None:
    for made in (
        Everything(True, "a", None, {}, [1, "x"]),
        Everything(False, "b", POLICY, {"x": (Candidate(POLICY, "l1"),)}, None, math.inf),
    ):
        assert Everything.from_json(made.to_json()) == made
    numpys: Any = (np.bool_(True), np.str_("a"))
    assert Everything(*numpys, None, {}, None).to_json() == (
        '{"yes": true, "word": "a", "policy": null, "nested": {}, "anything": null, "rate": null}'
    )


@pytest.mark.parametrize(
    "text", ['{"number": 3}', "7", "[1, 2]", "{", WRITTEN[0][1].replace('"origin"', '"from"')]
)
def test_text_that_is_no_record_is_an_error(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        TrialRecord.from_json(text)


def test_rung_and_val_accuracy_follow_the_accuracies(record) -> None:
    assert (record(1, (0.6, 0.8)).rung, record(1, (0.6, 0.8)).val_accuracy) == (2, 0.8)
    assert record(1).rung == 0
    assert math.isnan(record(1).val_accuracy)


def test_a_record_from_before_criteria_were_searched_has_none(record, final) -> None:
    for made in (record(1), final("trial 1", "searched", Policy({"stem": 8}))):
        old = json.loads(made.to_json())
        assert old.pop("criterion") == "second_order"
        again = type(made).from_json(json.dumps(old))
        assert (again.criterion, again.candidate) == ("", Candidate(made.policy, ""))
        assert again != made == type(made).from_json(made.to_json())
