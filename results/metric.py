"""What networks are judged by, and how its values are written for people.

Records hold *scores*, of which a higher one is better: the metric itself, or minus it where lower
is better; those of "%" are fractions. Whatever a person reads is the metric, in its own direction.

>>> ACCURACY.result("test", 0.9545)
'95.45 % of the test images right'
>>> error = MetricInfo("mean absolute error", "kg", higher_is_better=False)
>>> error.result("test", -0.4132), error.step(0.0431, 0.0139)
('mean absolute error 0.4132 kg on the test split', '−0.043 ± 0.014')
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from results import text
from results.intervals import half_width

DIGITS = 4
"""Significant ones of a value without percent."""

STEP_DIGITS = 3
"""Of a difference without an interval."""

REACH_DIGITS = 2
"""Of what stands behind ±; the figure before it has as many decimals."""

MOST_DECIMALS = 6
"""Figures with more of them are written with an exponent."""


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """A metric as the report has it; `search.Metric` also measures it.

    Attributes:
        name: ``accuracy``, ``mean absolute error``.
        unit: "%" where scores are fractions that are shown as percentages; else any, or none.
        higher_is_better: else scores are minus the metric.
        counts_images: whether it is the share of images that were classified right, so that the
            choice of images has an interval of its own.
    """

    name: str
    unit: str = ""
    higher_is_better: bool = True
    counts_images: bool = False

    @property
    def sign(self) -> int:
        """The metric is this times its score."""
        return 1 if self.higher_is_better else -1

    @property
    def percent(self) -> bool:
        """Whether scores are fractions that are shown as percentages."""
        return self.unit == "%"

    @property
    def is_share(self) -> bool:
        """Whether scores go from 0, the worst, to 1, so that areas under them mean something."""
        return self.percent and self.higher_is_better

    @property
    def items(self) -> str:
        """What a split consists of."""
        return "images" if self.counts_images else "items"

    @property
    def values(self) -> str:
        """Several of them: ``accuracies``."""
        return "accuracies" if self.counts_images else "values"

    @property
    def title(self) -> str:
        """The name with a capital letter."""
        return f"{self.name[:1].upper()}{self.name[1:]}"

    # Heads and phrases.

    def axis(self, split: str = "") -> str:
        """On an axis: ``test accuracy, %``, ``test mean absolute error, kg``."""
        return ", ".join(filter(None, [f"{split} {self.name}".strip(), self.unit]))

    def head(self, split: str) -> str:
        """Over a column of values: ``test %``, ``test mean absolute error, kg``."""
        return f"{split} %" if self.counts_images else self.axis(split)

    @property
    def step_unit(self) -> str:
        """Of a difference: ``points``, ``kg``, or nothing."""
        return "points" if self.percent else self.unit

    def step_head(self, what: str = "") -> str:
        """Over a column of differences: ``gain, points``, ``gain, kg``, ``gain``."""
        return ", ".join(filter(None, [what, self.step_unit])) or "difference"

    def step_of(self, split: str = "") -> str:
        """After a difference: ``points of test accuracy``, ``of test mean absolute error``."""
        return " ".join(filter(None, [self.step_unit, "of", split, self.name]))

    def column(self, split: str = "") -> str:
        """The name of a column in a table: ``val_accuracy``, ``val_mean_absolute_error``."""
        plain = re.sub(r"\W+", "_", self.name).strip("_")
        return f"{split}_{plain}" if split else plain

    # Values.

    def value(self, score: float) -> float:
        """As it stands on an axis: the metric itself, or percent."""
        return self.scale * self.sign * score

    @property
    def scale(self) -> float:
        """Of a spread or an interval on an axis."""
        return 100.0 if self.percent else 1.0

    def number(self, score: float | None) -> str:
        """One score without its unit: ``93.42``, ``0.4132``; a dash where there is none."""
        if score is None or math.isnan(score):
            return text.NONE
        value = self.sign * score
        return text.number(value) if self.percent else _written(value, _decimals(value, DIGITS))

    def with_unit(self, score: float) -> str:
        """``93.42 %``, ``0.4132 kg``, ``0.4132``."""
        return f"{self.number(score)} {self.unit}".rstrip()

    def mean_spread(self, scores: Sequence[float]) -> str:
        """Mean and, from two scores on, their sample standard deviation: ``0.413 ± 0.010``."""
        return self._mean(scores, statistics.stdev(scores) if len(scores) > 1 else None)

    def mean_interval(self, scores: Sequence[float]) -> str:
        """Mean and half the width of its 95 % Student-t interval."""
        return self._mean(scores, half_width(scores))

    def result(self, split: str, *scores: float) -> str:
        """What one or several networks reached: ``93.42 % of the test images right``; of several
        the mean and its interval."""
        figure = f"{self.mean_interval(scores)} {self.unit}".rstrip()
        if self.counts_images:
            return f"{figure} of the {split} images right"
        return f"{self.name} {figure} on the {split} split"

    def _mean(self, scores: Sequence[float], reach: float | None) -> str:
        if not scores:
            return text.NONE
        mean = statistics.fmean(scores)
        if reach is None or math.isnan(mean):
            return self.number(mean)
        decimals = self._decimals_of(reach, mean, DIGITS)
        return self._pair(self._fixed(self.sign * mean, decimals), reach, decimals)

    # Differences of scores.

    def step(self, difference: float, reach: float | None = None) -> str:
        """A difference with its sign, and half the width of its interval: ``+0.43 ± 0.14``.

        Of the metric: where lower is better, a better score has a minus.
        """
        decimals = self._decimals_of(reach, difference, STEP_DIGITS)
        value = self.sign * difference
        figure = self._fixed(abs(value), decimals)
        falls = round(self.scale * value, decimals) < 0
        figure = f"{text.MINUS if falls else '+'}{figure}"
        return figure if reach is None else self._pair(figure, reach, decimals)

    def amount(self, difference: float, reach: float | None = None, digits: int = 2) -> str:
        """How large a difference or spread is, without a sign: ``0.43 points``, ``0.014 kg``."""
        decimals = digits if self.percent else self._decimals_of(reach, difference, STEP_DIGITS)
        figure = self._fixed(abs(difference), decimals)
        figure = figure if reach is None else self._pair(figure, reach, decimals)
        return f"{figure} {self.step_unit}".rstrip()

    def rounded(self, difference: float, reach: float) -> tuple[float, float]:
        """A difference of scores and its reach as they are printed, so that a sentence claims no
        more than its reader can see."""
        decimals = self._decimals_of(reach, difference, STEP_DIGITS)
        return round(self.scale * difference, decimals), round(self.scale * reach, decimals)

    def _decimals_of(self, reach: float | None, figure: float, digits: int) -> int:
        """Of a figure and what stands behind its ±."""
        if self.percent:
            return 2
        if reach is None or not reach > 0:
            return _decimals(figure, digits)
        return _decimals(reach, REACH_DIGITS)

    def _fixed(self, value: float, decimals: int) -> str:
        return f"{100 * value:.{decimals}f}" if self.percent else _written(value, decimals)

    def _pair(self, figure: str, reach: float, decimals: int) -> str:
        return f"{figure} {text.PLUS_MINUS} {self._fixed(reach, decimals)}"


ACCURACY = MetricInfo("accuracy", "%", counts_images=True)
"""Of a classifier of images; what a run of an older version was judged by."""


def _decimals(value: float, digits: int) -> int:
    """How many decimals a value has with so many significant digits, at least 0."""
    if not math.isfinite(value) or value == 0:
        return digits - 1
    exponent = int(f"{abs(value):.{digits - 1}e}".partition("e")[2])  # after rounding
    return max(0, digits - 1 - exponent)


def _written(value: float, decimals: int) -> str:
    """With so many decimals; with an exponent, where they would be too many to be read."""
    if decimals > MOST_DECIMALS and value:
        exponent = math.floor(math.log10(abs(value)))
        figure = f"{abs(value):.{max(0, decimals + exponent)}e}"
    else:
        figure = f"{abs(value):,.{min(decimals, MOST_DECIMALS)}f}"
    return f"{text.MINUS if value < 0 and float(figure.replace(',', '')) else ''}{figure}"
