"""Accuracy class by class: the interval, the excess over the other classes, and what is claimed."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from runs import make_run

from results import FinalRecord, TrialRecord, terminal_decision
from results.by_class import Shares, class_changes, interval, p_value, sentence, warnings
from results.intervals import half_width
from results.record import ClassCounts
from results.reporting.blocks import Paragraph, Section, Table
from results.reporting.sections import section
from results.run import Run

IMAGES = 1000
EVEN = (940, 930, 950)
"""Right answers of the unpruned network, of 1000 images in each of three classes."""


def shares(*right: int, images: int) -> Shares:
    """Of one class, with each seed."""
    return Shares(np.array([[float(r)] for r in right]), np.array([float(images)]))


def figures(terms: list[Any], confidence: float = 0.95) -> tuple[float, ...]:
    return tuple(float(each[0]) for each in interval(terms, confidence))


def test_with_one_seed_the_interval_is_newcombes() -> None:
    """Statistics in Medicine 17 (1998), table II, method 10: 56/70 - 48/80 and 9/10 - 3/10."""
    difference = [(1, shares(56, images=70)), (-1, shares(48, images=80))]
    assert figures(difference) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    difference = [(1, shares(9, images=10)), (-1, shares(3, images=10))]
    assert figures(difference) == pytest.approx((0.6, 0.1705, 0.8090), abs=5e-5)


def test_seeds_that_differ_widen_it() -> None:
    before = shares(900, 900, images=1000)
    alike = figures([(1, shares(850, 850, images=1000)), (-1, before)])
    apart = figures([(1, shares(840, 860, images=1000)), (-1, before)])
    over_seeds = half_width([-0.06, -0.04])
    assert over_seeds is not None
    assert apart[0] == pytest.approx(-0.05)
    assert alike[0] == pytest.approx(-0.05)
    for end in (1, 2):
        images = alike[end] - alike[0]
        assert abs(apart[end] - apart[0]) == pytest.approx(math.hypot(images, over_seeds))


def test_an_interval_ends_where_shares_do() -> None:
    before = shares(900, 900, images=1000)
    assert figures([(1, shares(300, 900, images=1000)), (-1, before)])[1:] == (-1, 1)


@pytest.mark.parametrize("seeds", [(640,), (630, 640, 660)])
def test_the_p_value_is_that_of_the_interval_which_ends_at_zero(seeds: tuple[int, ...]) -> None:
    terms = [(1, shares(*seeds, images=1000)), (-1, shares(*[700] * len(seeds), images=1000))]
    (p,) = p_value(terms)
    assert 0 < p < 0.05
    assert figures(terms, 1 - p)[2] == pytest.approx(0, abs=1e-7)
    mirrored = [(-sign, each) for sign, each in terms]
    assert p_value(mirrored) == pytest.approx([p])
    same = [(1, shares(5, images=9)), (-1, shares(5, images=9))]
    assert p_value(same) == pytest.approx([1])


def counts(*right: int) -> ClassCounts:
    return ClassCounts(right, (IMAGES,) * len(right))


def counted(final: FinalRecord, *by_class: ClassCounts) -> FinalRecord:
    """The final with these counts, and the accuracies that follow from them."""
    return FinalRecord(
        **{name: getattr(final, name) for name in final.__slots__}
        | {
            "by_class": by_class,
            "seeds": tuple(range(len(by_class))),
            "test_accuracy": tuple(c.accuracy for c in by_class),
            "val_accuracy": (0.9,) * len(by_class),
        }
    )


def run_of(
    records: list[TrialRecord], finals: list[FinalRecord], about: dict[str, Any], *searched: Any
) -> Run:
    baseline, uniform, best = finals
    own = [
        counted(baseline, counts(*EVEN)),
        counted(uniform, *(counts(800, 800, 800) for _ in searched)),
        counted(best, *(counts(*right) for right in searched)),
    ]
    return make_run(records, own, about | {"classes": ["cat", "dog", "ship"]})


def words(made: Section) -> str:
    return "\n".join(block.text for block in made.blocks if isinstance(block, Paragraph))


def test_a_class_that_lost_more_than_the_others_comes_first_and_is_named(
    records: list[TrialRecord], finals: list[FinalRecord], provenance: dict[str, Any]
) -> None:
    run = run_of(records, finals, provenance, (930, 850, 945), (928, 844, 941))
    changes = class_changes(run)
    assert [c.label for c in changes] == ["dog", "cat", "ship"]
    assert [c.change for c in changes] == pytest.approx([-0.083, -0.011, -0.007])
    assert changes[0].excess == pytest.approx(-0.083 + (0.011 + 0.007) / 2)
    assert changes[0].uniform == 0.8
    assert changes[0].gain == pytest.approx(0.047)
    assert [c.shown for c in changes] == [True, False, False]
    assert {c.comparisons for c in changes} == {3}
    said = sentence(changes)
    assert said.startswith(
        "At budget 0.5 the loss is uneven: 1 of 3 classes loses more than the others together, "
        "class dog by 7.4 points (95 % interval "
    )
    assert said.endswith("), with all 3 classes allowed for (Holm).")
    assert warnings(run) == {"0.5": said}
    assert said in words(section("classes", run))
    assert said in words(section("decision", run))
    console = Console(file=io.StringIO(), width=1000)
    console.print(terminal_decision(run))
    assert said in console.file.getvalue()  # type: ignore[attr-defined]


def test_an_even_loss_is_not_called_uneven(
    records: list[TrialRecord], finals: list[FinalRecord], provenance: dict[str, Any]
) -> None:
    run = run_of(records, finals, provenance, (900, 885, 912), (902, 888, 908))
    assert not any(change.shown for change in class_changes(run))
    assert warnings(run) == {}
    assert "no class is shown to lose more than the others together" in words(
        section("classes", run)
    )
    assert "class dog: −4." in words(section("classes", run))
    assert "over 1,000 test images and 2 seeds of training." in words(section("classes", run))


def test_what_no_image_belongs_to_is_left_out_and_the_nameless_have_numbers(
    records: list[TrialRecord], finals: list[FinalRecord], provenance: dict[str, Any]
) -> None:
    baseline, _, best = finals
    seen = ClassCounts((5, 0, 4), (9, 0, 9))
    run = make_run(
        records, [counted(baseline, seen), counted(best, seen)], provenance | {"classes": ["cat"]}
    )
    assert [c.label for c in class_changes(run)] == ["cat", "2"]
    assert all(math.isnan(c.uniform) for c in class_changes(run))


def test_runs_of_older_versions_have_no_such_section(
    records: list[TrialRecord], finals: list[FinalRecord], provenance: dict[str, Any]
) -> None:
    assert class_changes(make_run(records, finals, provenance)) == []
    assert not section("classes", make_run(records, finals, provenance))
    seeds_added = [counted(finals[0], counts(*EVEN)), finals[1], finals[2]]
    assert class_changes(make_run(records, seeds_added, provenance)) == []


def test_of_many_classes_ten_are_shown_and_the_table_has_them_all(
    records: list[TrialRecord], finals: list[FinalRecord], provenance: dict[str, Any]
) -> None:
    baseline, _, best = finals
    before, after = [90] * 100, [90 - k % 50 for k in range(100)]
    images = (100,) * 100
    own = [
        counted(baseline, ClassCounts(tuple(before), images)),
        counted(best, ClassCounts(tuple(after), images)),
    ]
    run = make_run(records, own, provenance)
    made = section("classes", run)
    (table,) = [block for block in made.blocks if isinstance(block, Table)]
    assert [row[0] for row in table.rows] == [
        str(k) for k in (49, 99, 48, 98, 47, 97, 46, 96, 45, 95)
    ]
    assert "The 10 of 100 classes that lost most; classes.csv has them all." in words(made)
    assert len(run.classes) == 100
    assert run.classes["class"].head(3).tolist() == [49, 99, 48]
    assert len([c for c in class_changes(run) if c.shown]) > 3
    assert " more, with all 100 classes allowed for (Holm)." in words(made)
