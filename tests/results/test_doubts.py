"""Networks that came out and may be worth nothing: when that is said, and where."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from runs import make_run

from results import FinalRecord, Run, TrialRecord, terminal_decision
from results.doubts import doubts
from results.intervals import at_chance
from results.record import ClassCounts
from results.reporting import document

Records = list[TrialRecord]
Finals = list[FinalRecord]
GOOD, BAD = ClassCounts((45, 44), (50, 50)), ClassCounts((50, 3), (50, 50))


@pytest.fixture
def run(records: Records, finals: Finals, provenance: dict[str, Any]) -> Run:
    """Two classes of fifty test images each, 400 validation images; nothing to doubt."""
    counted = [replace(final, by_class=(GOOD,) * 3) for final in finals]
    return make_run(records, counted, provenance | {"val_images": 400})


def ended(run: Run, *by_class: ClassCounts, **changes: Any) -> Run:
    """The same run, the searched final of which ended so."""
    *others, final = run.finals
    changes |= {"by_class": by_class} if by_class else {}
    return replace(run, finals=(*others, replace(final, **changes)))


def test_of_a_sound_run_nothing_is_doubted(run: Run) -> None:
    assert [*doubts(run)] == []
    assert document(run).sections[0].anchor == "decision"


@pytest.mark.parametrize(
    ("right", "counts", "chance"),
    [
        (0.60, (50, 50), True),  # 0.5 + 2 √(0.25 / 100) is 0.6
        (0.61, (50, 50), False),
        (0.98, (90, 10), False),
        (0.95, (90, 10), True),  # 0.9 + 2 √(0.09 / 100) is 0.96
        (0.0, (0, 20), True),
    ],
)
def test_chance_is_the_most_frequent_class(
    right: float, counts: tuple[int, ...], chance: bool
) -> None:
    assert at_chance(right, counts) is chance


def test_a_network_at_chance_is_not_shipped_in_silence(run: Run) -> None:
    (said,) = doubts(ended(run, BAD, BAD, BAD))
    assert said.startswith("at budget 0.5 trial 5 names test images no better than whoever always")
    assert "class: its final" in said
    (said,) = doubts(ended(run, GOOD, BAD, GOOD))
    assert "most frequent class, with seed 1 of 3: its final" in said


def test_where_the_unpruned_network_had_learnt_nothing_that_is_no_news(run: Run) -> None:
    nothing = ended(run, BAD, BAD, BAD)
    baseline, *others = nothing.finals
    assert not [*doubts(replace(nothing, finals=(replace(baseline, by_class=(BAD,)), *others)))]


def test_a_final_training_that_spoils_is_told_from_noise(run: Run) -> None:
    """Trial 5 had 0.90 after its brief training; with 400 images three errors are
    3 √((0.09 + 0.1275) / 400) = 0.070 at 0.85, and 0.075 at 0.82."""
    assert not [*doubts(ended(run, val_accuracy=(0.85, 0.85, 0.85)))]
    (said,) = doubts(ended(run, val_accuracy=(0.82, 0.82, 0.82)))
    assert said.startswith(
        "at budget 0.5 trial 5 ended its final training at a validation accuracy of 82.00 %, and "
        "the brief training of the search at 90.00 %"
    )


def test_of_another_metric_the_seeds_say_what_noise_is(
    records: Records, finals: Finals, provenance: dict[str, Any]
) -> None:
    error = {"name": "error", "unit": "kg", "higher_is_better": False}
    run = make_run(records, finals, provenance | {"metric": error})
    assert not [*doubts(ended(run, val_accuracy=(0.5,)))]  # one seed has no spread
    assert not [*doubts(ended(run, val_accuracy=(0.2, 0.85, 1.0)))]
    (said,) = doubts(ended(run, val_accuracy=(0.49, 0.50, 0.51)))
    assert "validation error of −0.5000 kg" in said


def test_it_stands_before_the_decision(run: Run) -> None:
    spoilt = ended(run, BAD, BAD, BAD)
    file = io.StringIO()
    Console(file=file, width=80).print(terminal_decision(spoilt))
    assert file.getvalue().startswith("warning: at budget 0.5 trial 5 names")
    first, second = document(spoilt).sections[:2]
    assert (first.anchor, second.anchor) == ("warnings", "decision")
