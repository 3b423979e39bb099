"""How numbers read."""

from __future__ import annotations

import math

import pytest

from results import text

DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (4_090_000_000, "4.09 G"),
        (125_485_706, "125 M"),
        (40_551_808, "40.6 M"),
        (999_999, "1.00 M"),
        (1_000, "1.00 k"),
        (640, "640"),
        (None, DASH),
    ],
)
def test_count(value: int | None, written: str) -> None:
    assert text.count(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.1432, "0.14"), (0.976, "0.98"), (1.034, "1.03"), (1.26, "1.3"), (7.04, "7"), (142, "140")],
)
def test_factor(value: float, written: str) -> None:
    assert text.factor(value) == written


def test_a_clause_as_a_sentence() -> None:
    assert text.sentence("a rate of 0.1 was not swept") == "A rate of 0.1 was not swept."
    assert text.sentence("It was.") == "It was."


def test_number() -> None:
    assert text.number(0.93415) == "93.42"
    assert text.number(0.4987, 1) == "49.9"
    assert text.number(None) == text.number(math.nan) == DASH


def test_signed_has_a_true_minus_and_no_negative_zero() -> None:
    assert text.signed(0.0042) == "+0.42"
    assert text.signed(-0.0042) == "\N{MINUS SIGN}0.42"
    assert text.signed(-0.00001) == "+0.00"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(4.24, "4.2 s"), (42.4, "42 s"), (59.7, "1 min 0 s"), (95, "1 min 35 s"), (3725, "1 h 2 min")],
)
def test_duration(seconds: float, written: str) -> None:
    assert text.duration(seconds) == written


def test_plural() -> None:
    assert (text.plural(1, "trial"), text.plural(0, "trial")) == ("1 trial", "0 trials")
