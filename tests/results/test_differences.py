"""Paired differences against closed forms, SciPy and a plain loop; what a sentence dares to say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from results.differences import hedges, holm, paired, text_of_p

PLUS_MINUS, MINUS = "\N{PLUS-MINUS SIGN}", "\N{MINUS SIGN}"
SIDES = {"left": "fine-tuning", "right": "training from scratch"}


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def differing(*differences: float) -> tuple[dict[int, float], dict[int, float]]:
    return by_seed(*(0.5 + d for d in differences)), by_seed(*[0.5] * len(differences))


def test_worked_by_hand() -> None:
    # Differences 0.01, 0.02, 0.03: mean 0.02, s = 0.01, t(0.975, 2) = 4.302653.
    result = paired(by_seed(0.91, 0.92, 0.93), by_seed(0.90, 0.90, 0.90))
    half_width = 4.302652729911275 * 0.01 / math.sqrt(3)
    assert (result.n, result.outcome) == (3, "open")
    assert result.difference == pytest.approx(0.02)
    assert result.deviation == pytest.approx(0.01)
    assert result.half_width == pytest.approx(half_width)
    assert (result.low, result.high) == pytest.approx((0.02 - half_width, 0.02 + half_width))
    # t = 2 √3 with two degrees of freedom: p = 1 - t / √(2 + t²).
    assert result.p_value == pytest.approx(1 - math.sqrt(12 / 14))
    # d_z = 2; with two degrees of freedom Hedges' correction is Γ(1) / (1 · Γ(1/2)) = 1 / √π.
    assert result.effect_size == pytest.approx(2 / math.sqrt(math.pi))


def test_hedges_by_hand() -> None:
    assert math.isnan(hedges(2))
    assert hedges(3) == pytest.approx(1 / math.sqrt(math.pi))
    assert hedges(5) == pytest.approx(math.sqrt(2 / math.pi))  # Γ(2) / (√2 · Γ(3/2))
    assert hedges(50) == pytest.approx(1 - 3 / (4 * 49 - 1), abs=1e-4)  # the usual approximation


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=10),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_agrees_with_scipy(pairs: list[tuple[float, float]], confidence: float) -> None:
    a, b = (by_seed(*side) for side in zip(*pairs, strict=True))
    result = paired(a, b, confidence=confidence)
    assume(not math.isnan(result.low))
    reference = stats.ttest_rel(list(a.values()), list(b.values()))
    expected = reference.confidence_interval(confidence)
    assert (result.low, result.high) == pytest.approx(tuple(expected), rel=1e-6, abs=1e-9)
    assert result.p_value == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)


def test_pairs_by_seed_and_leaves_out_the_rest() -> None:
    a = {3: 0.92, 1: 0.90, 7: 0.1, 5: math.nan}
    result = paired(a, {1: 0.89, 3: 0.90, 9: 0.9, 5: 0.9})
    assert result.n == 2
    assert result.difference == pytest.approx(0.015)
    assert math.isnan(result.effect_size)


@pytest.mark.parametrize(
    ("differences", "outcome", "words"),
    [
        (
            (0.010, 0.011, 0.012),
            "better",
            "fine-tuning is better than training from scratch: +1.10",
        ),
        ((-0.010, -0.011, -0.012), "worse", f"is worse than training from scratch: {MINUS}1.10"),
        ((-0.01, 0.00, 0.02), "open", "no difference between fine-tuning and training from scr"),
    ],
)
def test_sentence(differences: tuple[float, ...], outcome: str, words: str) -> None:
    result = paired(*differing(*differences))
    assert result.outcome == outcome
    assert words in result.sentence(**SIDES)
    assert "(95 % interval over 3 seeds)" in result.sentence(**SIDES)


def test_a_difference_that_holds_only_alone_is_not_claimed() -> None:
    result = paired(*differing(0.010, 0.011, 0.012))
    assert result.claims(0.049)
    assert not result.claims(0.0499)  # 0.050 as it is printed
    sentence = result.sentence(**SIDES, adjusted=0.21, comparisons=7)
    assert sentence == (
        f"no difference between fine-tuning and training from scratch could be shown: +1.10 "
        f"{PLUS_MINUS} 0.25 points of test accuracy (95 % interval over 3 seeds); that holds "
        "alone, but not when the 7 comparisons are allowed for (Holm: p = 0.210)"
    )


@given(
    st.lists(st.integers(-400, 400), min_size=1, max_size=12),
    st.floats(0, 1) | st.none(),
)
def test_sentence_never_says_more_than_its_printed_interval(
    differences: list[int], adjusted: float | None
) -> None:
    result = paired(*differing(*(d / 10_000 for d in differences)))
    sentence = result.sentence(**SIDES, adjusted=adjusted, comparisons=3)
    claims = "is better" in sentence or "is worse" in sentence
    assert claims == result.claims(adjusted)
    if not claims:
        return
    figures = sentence.split(": ")[1].replace(MINUS, "-").split()
    low, high = (float(figures[0]) + sign * float(figures[2]) for sign in (-1, 1))
    assert low > 0.005 if "is better" in sentence else high < -0.005
    assert adjusted is None or adjusted < 0.05
    assert result.p_value < 0.05


def test_one_seed_gives_no_interval() -> None:
    result = paired(by_seed(0.95), by_seed(0.90))
    assert (result.n, result.outcome) == (1, "no interval")
    assert all(math.isnan(x) for x in (result.low, result.high, result.p_value, result.effect_size))
    assert result.sentence(**SIDES) == (
        "fine-tuning differs from training from scratch by +5.00 points of test accuracy with one "
        "seed, so no interval can be given and no difference is shown"
    )
    assert "the widths differ from" in result.sentence("the widths", "others", plural=True)


def test_equal_differences_give_no_interval() -> None:
    result = paired(by_seed(0.95, 0.95), by_seed(0.90, 0.90))
    assert (result.outcome, result.claims()) == ("no interval", False)
    assert math.isnan(result.p_value)
    assert "the same with each of 2 seeds" in result.sentence(**SIDES)


def test_no_common_seed_gives_nothing() -> None:
    result = paired({0: 0.9}, {1: 0.9})
    assert (result.n, result.outcome) == (0, "nothing")
    assert "no seed that both" in result.sentence(**SIDES)


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, the last lifted.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
    with_gap = holm([0.02, math.nan, 0.04])
    assert with_gap[::2] == pytest.approx([0.04, 0.04])
    assert math.isnan(with_gap[1])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_as_its_step_down_test_does(p_values: list[float]) -> None:
    rejected: set[int] = set()
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for k, i in enumerate(order):
        if p_values[i] * (len(p_values) - k) > 0.05:
            break
        rejected.add(i)
    adjusted = holm(p_values)
    assert {i for i, p in enumerate(adjusted) if p <= 0.05} == rejected
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))


def test_p_as_it_is_printed() -> None:
    printed = [text_of_p(p) for p in (0.0004, 0.0496, 0.5, math.nan)]
    assert printed == ["< 0.001", "0.050", "0.500", "\N{EN DASH}"]


def test_rounding_decides() -> None:
    shown = paired(*differing(0.010, 0.011, 0.012))
    at_zero = replace(shown, low=0.00001, high=0.0219)
    assert (at_zero.low > 0, at_zero.outcome) == (True, "better")
    assert replace(at_zero, low=-0.00012, high=0.0222).outcome == "open"
