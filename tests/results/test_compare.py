"""The paired interval against the closed form and SciPy, and what its sentence dares to say."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from results import paired, verdicts
from spaces import Policy

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_worked_by_hand() -> None:
    # Differences 0.01, 0.02, 0.03: mean 0.02, s = 0.01, t(0.975, 2) = 4.302653.
    result = paired(by_seed(0.91, 0.92, 0.93), by_seed(0.90, 0.90, 0.90))
    half_width = 4.302652729911275 * 0.01 / math.sqrt(3)
    assert result.n == 3
    assert result.difference == pytest.approx(0.02)
    assert result.half_width == pytest.approx(half_width)
    assert result.interval == pytest.approx((0.02 - half_width, 0.02 + half_width))
    assert result.outcome == "open"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=10))
def test_agrees_with_scipy(pairs: list[tuple[float, float]]) -> None:
    searched, uniform = (by_seed(*side) for side in zip(*pairs, strict=True))
    result = paired(searched, uniform)
    assume(not math.isnan(result.half_width))
    reference = stats.ttest_rel(list(searched.values()), list(uniform.values()))
    low, high = reference.confidence_interval(0.95)
    assert result.interval == pytest.approx((low, high), rel=1e-6, abs=1e-9)


def test_pairs_by_seed_and_leaves_out_the_rest() -> None:
    result = paired({3: 0.92, 1: 0.90, 7: 0.1}, {1: 0.89, 3: 0.90, 9: 0.9})
    assert result.n == 2
    assert result.difference == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("differences", "outcome", "words"),
    [
        ((0.010, 0.011, 0.012), "better", "are better than uniform ones: +1.10"),
        ((-0.010, -0.011, -0.012), "worse", "are worse than uniform ones: \N{MINUS SIGN}1.10"),
        ((-0.01, 0.00, 0.02), "open", "no difference between searched and uniform widths could"),
    ],
)
def test_sentence(differences: tuple[float, ...], outcome: str, words: str) -> None:
    result = paired(by_seed(*(0.9 + d for d in differences)), by_seed(0.9, 0.9, 0.9))
    assert result.outcome == outcome
    assert words in result.sentence
    assert "(95 % interval over 3 seeds)" in result.sentence


@given(st.lists(st.integers(-400, 400), min_size=2, max_size=6))
def test_sentence_never_says_more_than_its_printed_interval(differences: list[int]) -> None:
    searched = by_seed(*(0.5 + d / 10_000 for d in differences))
    result = paired(searched, by_seed(*[0.5] * len(differences)))
    assume(result.outcome != "no interval")
    printed = result.sentence.split(": ")[1].replace("\N{MINUS SIGN}", "-").split()
    difference, half_width = float(printed[0]), float(printed[2])
    assert printed[1] == PLUS_MINUS
    claims = ("are better" in result.sentence) or ("are worse" in result.sentence)
    assert claims == (round(abs(difference) - half_width, 2) > 0)


def test_one_seed_gives_no_interval() -> None:
    result = paired(by_seed(0.95), by_seed(0.90))
    assert (result.n, result.outcome) == (1, "no interval")
    assert math.isnan(result.half_width)
    assert "+5.00 points of test accuracy with one seed" in result.sentence
    assert "no interval can be given and no difference is shown" in result.sentence


def test_equal_differences_give_no_interval() -> None:
    result = paired(by_seed(0.95, 0.95), by_seed(0.90, 0.90))
    assert result.outcome == "no interval"
    assert "the same with each of 2 seeds" in result.sentence


def test_no_common_seed_gives_nothing() -> None:
    result = paired({0: 0.9}, {1: 0.9})
    assert (result.n, result.outcome) == (0, "nothing")
    assert "no seed that both" in result.sentence


def test_verdict_compares_the_searched_policy_marked_best(final) -> None:
    uniform = final("uniform@0.5", "uniform", Policy({"stem": 8}))
    worse = final("trial 1", "searched", Policy({"stem": 6}), test_accuracy=(0.1, 0.2, 0.3))
    best = final(
        "trial 2", "searched", Policy({"stem": 7}), test_accuracy=(0.91, 0.913, 0.915), best=True
    )
    (verdict,) = verdicts([uniform, worse, best])
    assert verdict.comparison == paired(by_seed(0.91, 0.913, 0.915), by_seed(0.900, 0.902, 0.904))
    assert verdict.sentence.startswith("At budget 0.5 the searched widths are better")
    assert verdict.sentence.endswith(".")


def test_verdict_when_the_best_policy_is_the_uniform_one(final) -> None:
    uniform = final("uniform@0.5", "uniform", Policy({"stem": 8}))
    searched = final("trial 0", "searched", Policy({"stem": 8}), best=True)
    (verdict,) = verdicts([uniform, searched])
    assert verdict.sentence == "At budget 0.5 the search found nothing better than uniform widths."


def test_a_verdict_for_every_budget_even_without_finals(final) -> None:
    uniform = final("uniform@0.3", "uniform", Policy({"stem": 4}), budget="0.3")
    found = verdicts([uniform], budgets=["0.5", "0.3"])
    assert [v.budget for v in found] == ["0.5", "0.3"]
    assert "no searched or uniform widths were trained to the end" in found[0].sentence
    assert "no searched widths were trained to the end" in found[1].sentence
