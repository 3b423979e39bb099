"""Paired differences by seed, and the sentence that says no more than their interval allows.

>>> difference = paired({0: 0.912, 1: 0.915, 2: 0.913}, {0: 0.908, 1: 0.910, 2: 0.909})
>>> difference.sentence("the searched widths", "uniform ones", plural=True)
'the searched widths are better than uniform ones: +0.43 ± 0.14 points of test accuracy ...'
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from results import text
from results.intervals import CONFIDENCE, half_width
from results.metric import ACCURACY, MetricInfo

Outcome = Literal["better", "worse", "open", "no interval", "nothing"]


@dataclass(frozen=True, slots=True)
class Paired:
    """Left minus right in score, paired by seed; positive where the left side is better.

    Attributes:
        difference: the mean; ``nan`` without pairs.
        low, high: ends of its interval; ``nan`` where no interval can be given.
        n: how many seeds both sides share.
        deviation: sample standard deviation of the differences; ``nan`` for fewer than two.
        p_value: two-sided, of no difference; ``nan`` where no interval can be given.
        effect_size: Cohen's d_z, mean / standard deviation of the differences, times Hedges'
            correction for few of them, Γ(f / 2) / (√(f / 2) Γ((f - 1) / 2)) with f = n - 1
            (Hedges, J. Educ. Stat. 6, 1981); ``nan`` for fewer than three seeds, where that is 0.
        confidence: of the interval, 0..1.
        metric: whose scores they are; it says how they are written.
    """

    difference: float
    low: float
    high: float
    n: int
    deviation: float = math.nan
    p_value: float = math.nan
    effect_size: float = math.nan
    confidence: float = CONFIDENCE
    metric: MetricInfo = ACCURACY

    @property
    def half_width(self) -> float:
        """Half the interval's length; ``nan`` where no interval can be given."""
        return (self.high - self.low) / 2

    @property
    def outcome(self) -> Outcome:
        """What the interval, as it is printed, allows to say of the left side."""
        if self.n == 0:
            return "nothing"
        if math.isnan(self.low):
            return "no interval"
        # A sentence must not claim more than its reader can see, so the rounded figures count.
        difference, reach = self.metric.rounded(self.difference, self.half_width)
        low, high = difference - reach, difference + reach
        return "better" if low > 0 else "worse" if high < 0 else "open"

    @property
    def figure(self) -> str:
        """The difference of the metric with its interval: ``+0.43 ± 0.14``, in points of accuracy
        say; where lower is better, a better left side has a minus."""
        if self.n == 0:
            return text.NONE
        reach = None if math.isnan(self.low) else self.half_width
        return self.metric.step(self.difference, reach)

    @property
    def phrase(self) -> str:
        """`figure` and what it is of: ``+0.43 ± 0.14 points of test accuracy``."""
        return f"{self.figure} {self.metric.step_of('test')}"

    def claims(self, adjusted: float | None = None) -> bool:
        """Whether a difference is shown, ``adjusted`` being its p-value among several."""
        return self.outcome in ("better", "worse") and self._holds(adjusted)

    def sentence(
        self,
        left: str,
        right: str,
        *,
        plural: bool = False,
        both: str = "",
        words: tuple[str, str] = ("better", "worse"),
        adjusted: float | None = None,
        comparisons: int = 1,
    ) -> str:
        """One clause for people, in the metric's own unit.

        Args:
            left, right: the two sides as they stand in a sentence.
            plural: whether ``left`` takes a plural verb.
            both: the two in one phrase, by default ``left and right``.
            words: what the left side is when its score is higher and when it is lower.
            adjusted: the p-value when all ``comparisons`` are allowed for; a difference that only
                holds alone is not claimed.
        """
        both = both or f"{left} and {right}"
        match self.outcome:
            case "nothing":
                return f"there is no seed that both {both} were trained with"
            case "no interval":
                one = self.n == 1
                seeds = " with one seed" if one else f", the same with each of {self.n} seeds"
                return (
                    f"{left} {'differ' if plural else 'differs'} from {right} by {self.phrase}"
                    f"{seeds}, so no interval can be given and no "
                    "difference is shown"
                )
            case "open":
                return f"no difference between {both} could be shown: {self._figures}"
            case _ if not self._holds(adjusted):
                return (
                    f"no difference between {both} could be shown: {self._figures}; that holds "
                    f"alone, but not when the {comparisons} comparisons are allowed for "
                    f"(Holm: p = {text_of_p(adjusted)})"
                )
            case outcome:
                word = words[outcome == "worse"]
                return f"{left} {'are' if plural else 'is'} {word} than {right}: {self._figures}"

    def _holds(self, adjusted: float | None) -> bool:
        return adjusted is None or round(adjusted, 3) < round(1 - self.confidence, 9)

    @property
    def _figures(self) -> str:
        return f"{self.phrase} ({100 * self.confidence:g} % interval over {self.n} seeds)"


def paired(
    a: Mapping[int, float],
    b: Mapping[int, float],
    *,
    confidence: float = CONFIDENCE,
    metric: MetricInfo = ACCURACY,
) -> Paired:
    """``a`` minus ``b``, seed by seed; each maps a seed to a score, ``nan`` to none.

    The interval is mean ± t(n - 1) · s / √n of the n differences, s being their sample standard
    deviation, and the p-value that of the paired t-test. With one seed, or with differences that
    are all the same (s = 0 says that the scores are too coarse, not that the difference is
    certain), there is no interval.
    """
    differences = (a[seed] - b[seed] for seed in sorted(a.keys() & b))
    values = [difference for difference in differences if math.isfinite(difference)]
    n = len(values)
    mean = statistics.fmean(values) if n else math.nan
    deviation = statistics.stdev(values) if n > 1 else math.nan
    if n < 2 or deviation < 1e-9:
        return Paired(mean, math.nan, math.nan, n, deviation, confidence=confidence, metric=metric)
    from scipy.special import stdtr  # slow to import, and workers compare nothing

    error = deviation / math.sqrt(n)
    reach = half_width(values, confidence) or math.nan
    p_value = 2 * float(stdtr(n - 1, -abs(mean) / error))
    effect = hedges(n) * mean / deviation
    ends = mean - reach, mean + reach
    return Paired(mean, *ends, n, deviation, p_value, effect, confidence, metric)


def hedges(n: int) -> float:
    """Hedges' correction of Cohen's d_z over ``n`` seeds; ``nan`` for fewer than three."""
    if n < 3:
        return math.nan
    from scipy.special import gammaln

    f = n - 1
    return math.exp(gammaln(f / 2) - gammaln((f - 1) / 2)) / math.sqrt(f / 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values with all of them allowed for (Holm, Scand. J. Stat. 6, 1979), in their order.

    Of m values the k-th smallest is multiplied by m - k + 1; none is less than one before it, nor
    above 1. ``nan`` stays ``nan`` and is not counted.
    """
    ascending = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted, least = [math.nan] * len(p_values), 0.0
    for rank, (p, i) in enumerate(ascending):
        least = max(least, min(1.0, p * (len(ascending) - rank)))
        adjusted[i] = least
    return adjusted


def text_of_p(p: float | None) -> str:
    """A p-value with three digits, ``< 0.001`` below that."""
    if p is None or math.isnan(p):
        return text.NONE
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"
