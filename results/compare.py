"""Paired comparisons by seed, and the sentence that says no more than their interval allows.

>>> paired({0: 0.912, 1: 0.915, 2: 0.913}, {0: 0.908, 1: 0.910, 2: 0.909}).sentence
'the searched widths are better than uniform ones: +0.43 ± 0.14 points of test accuracy ...'
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtrit

from results import text
from results.record import FinalRecord

Outcome = Literal["better", "worse", "open", "no interval", "nothing"]

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Paired:
    """Searched minus uniform, paired by seed.

    Attributes:
        difference: mean difference of test accuracy, as a fraction; ``nan`` without pairs.
        half_width: of the 95 % Student-t interval; ``nan`` where no interval can be given.
        n: how many seeds both sides share.
    """

    difference: float
    half_width: float
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end, as fractions; ``nan`` where no interval can be given."""
        return self.difference - self.half_width, self.difference + self.half_width

    @property
    def outcome(self) -> Outcome:
        """What the interval, as it is printed, allows to say."""
        if self.n == 0:
            return "nothing"
        if math.isnan(self.half_width):
            return "no interval"
        # Judged on the rounded figures: a sentence must not claim more than its reader can see.
        difference, half_width = round(self.difference, 4), round(self.half_width, 4)
        if difference - half_width > 0:
            return "better"
        return "worse" if difference + half_width < 0 else "open"

    @property
    def sentence(self) -> str:
        """One clause for people, in points of accuracy."""
        points = f"{text.signed(self.difference)} points of test accuracy" if self.n else ""
        spread = f"{text.PLUS_MINUS} {100 * self.half_width:.2f} points of test accuracy"
        figure = f"{text.signed(self.difference)} {spread} (95 % interval over {self.n} seeds)"
        match self.outcome:
            case "nothing":
                return "there is no seed that both searched and uniform widths were trained with"
            case "no interval" if self.n == 1:
                return (
                    f"the searched widths differ from uniform ones by {points} with one seed, "
                    "so no interval can be given and no difference is shown"
                )
            case "no interval":
                return (
                    f"the searched widths differ from uniform ones by {points}, the same with each "
                    f"of {self.n} seeds, so no interval can be given and no difference is shown"
                )
            case "open":
                return "no difference between searched and uniform widths could be shown: " + figure
            case outcome:
                return f"the searched widths are {outcome} than uniform ones: {figure}"


def paired(searched: Mapping[int, float], uniform: Mapping[int, float]) -> Paired:
    """Compare two trainings seed by seed; each argument maps a seed to an accuracy (0..1).

    The interval is mean ± t(0.975, n - 1) · s / √n of the n differences, s being their sample
    standard deviation. With one seed, or with differences that are all the same (s = 0 says that
    the accuracies are too coarse, not that the difference is certain), there is none.
    """
    differences = [searched[seed] - uniform[seed] for seed in sorted(searched.keys() & uniform)]
    n = len(differences)
    if n == 0:
        return Paired(math.nan, math.nan, 0)
    mean = statistics.fmean(differences)
    deviation = statistics.stdev(differences) if n > 1 else 0.0
    if deviation < 1e-9:
        return Paired(mean, math.nan, n)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return Paired(mean, quantile * deviation / math.sqrt(n), n)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Search against uniform at one budget; ``comparison`` is ``None`` when it did not happen."""

    budget: str
    comparison: Paired | None
    sentence: str


def verdicts(finals: Sequence[FinalRecord], budgets: Iterable[str] = ()) -> list[Verdict]:
    """One verdict a budget, in the order of ``budgets`` and then of the finals."""
    named = dict.fromkeys([*budgets, *(f.budget for f in finals if f.budget is not None)])
    return [_verdict(budget, [f for f in finals if f.budget == budget]) for budget in named]


def _verdict(budget: str, finals: Sequence[FinalRecord]) -> Verdict:
    uniform = next((f for f in finals if f.role == "uniform"), None)
    searched = chosen(finals)
    if uniform is None or searched is None:
        missing = "uniform" if searched else "searched" if uniform else "searched or uniform"
        clause = f"there is no verdict: no {missing} widths were trained to the end"
        return Verdict(budget, None, f"At budget {budget} {clause}.")
    if searched.policy == uniform.policy:
        clause = "the search found nothing better than uniform widths"
        return Verdict(budget, None, f"At budget {budget} {clause}.")
    comparison = paired(_by_seed(searched), _by_seed(uniform))
    return Verdict(budget, comparison, f"At budget {budget} {comparison.sentence}.")


def chosen(finals: Iterable[FinalRecord]) -> FinalRecord | None:
    """The searched policy that represents these finals: the one marked best, else the first."""
    searched = [f for f in finals if f.role == "searched"]
    return max(searched, key=lambda f: f.best, default=None)


def _by_seed(final: FinalRecord) -> dict[int, float]:
    return dict(zip(final.seeds, final.test_accuracy, strict=True))
