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

MOST_DIGITS = 6
"""Significant ones of any figure, however narrow its interval."""

READABLE = (1e-4, 1e7)
"""Figures outside of this range, the second end included, are written with an exponent."""


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
        if self.percent:
            return text.number(value)
        return _written(value, self._decimals_of(None, value, DIGITS), abs(value))

    def with_unit(self, score: float) -> str:
        """``93.42 %``, ``0.4132 kg``, ``0.4132``."""
        return f"{self.number(score)} {self.unit}".rstrip()

    def mean_interval(self, scores: Sequence[float]) -> str:
        """Mean and, where it has one, half the width of its 95 % Student-t interval: ``0.413 ±
        0.010``; a dash without scores."""
        if not scores:
            return text.NONE
        mean, reach = statistics.fmean(scores), half_width(scores)
        if reach is None:
            return self.number(mean)
        return self._pair("", self.sign * mean, reach, DIGITS)

    def result(self, split: str, *scores: float) -> str:
        """What one or several networks reached: ``93.42 % of the test images right``; of several
        the mean and its interval."""
        figure = f"{self.mean_interval(scores)} {self.unit}".rstrip()
        if self.counts_images:
            return f"{figure} of the {split} images right"
        return f"{self.name} {figure} on the {split} split"

    # Differences of scores.

    def step(self, difference: float, reach: float | None = None) -> str:
        """A difference with its sign, and half the width of its interval: ``+0.43 ± 0.14``.

        Of the metric: where lower is better, a better score has a minus.
        """
        decimals = self._decimals_of(reach, difference, STEP_DIGITS)
        falls = round(self.scale * self.sign * difference, decimals) < 0
        sign = text.MINUS if falls else "+"
        return self._pair(sign, abs(difference), reach, STEP_DIGITS)

    def amount(self, difference: float, reach: float | None = None, digits: int = 2) -> str:
        """How large a difference or spread is, without a sign: ``0.43 points``, ``0.014 kg``."""
        if self.percent and reach is None:
            figure = f"{100 * abs(difference):.{digits}f}"
        else:
            figure = self._pair("", abs(difference), reach, STEP_DIGITS)
        return f"{figure} {self.step_unit}".rstrip()

    def rounded(self, difference: float, reach: float) -> tuple[float, float]:
        """A difference of scores and its reach as they are printed, so that a sentence claims no
        more than its reader can see."""
        decimals = self._decimals_of(reach, difference, STEP_DIGITS)
        return round(self.scale * difference, decimals), round(self.scale * reach, decimals)

    def _decimals_of(self, reach: float | None, figure: float, digits: int) -> int:
        """Of a figure and what stands behind its ±; below 0 where tens or more are rounded."""
        if self.percent:
            return 2
        size = max(abs(figure), reach or 0.0)
        most = _decimals(size, MOST_DIGITS)
        wanted = _decimals(reach, REACH_DIGITS) if reach else _decimals(figure, digits)
        return min(wanted if _has_exponent(size) else max(0, wanted), most)

    def _pair(self, sign: str, figure: float, reach: float | None, digits: int) -> str:
        """A figure after its sign, with what stands behind its ± where there is a reach."""
        decimals = self._decimals_of(reach, figure, digits)
        shown = [figure] if reach is None else [figure, reach]
        size = max(map(abs, shown))
        written = (
            text.number(each, decimals) if self.percent else _written(each, decimals, size)
            for each in shown
        )
        return sign + f" {text.PLUS_MINUS} ".join(written)


ACCURACY = MetricInfo("accuracy", "%", counts_images=True)
"""Of a classifier of images; what a run of an older version was judged by."""


def _decimals(value: float, digits: int) -> int:
    """How many decimals a value has with so many significant digits; below 0 for large ones."""
    if not math.isfinite(value) or value == 0:
        return digits - 1
    exponent = int(f"{abs(value):.{digits - 1}e}".partition("e")[2])  # after rounding
    return digits - 1 - exponent


def _has_exponent(size: float) -> bool:
    low, high = READABLE
    return math.isfinite(size) and size != 0 and not low <= size < high


def _written(value: float, decimals: int, size: float) -> str:
    """With so many decimals; with an exponent where figures of such a size are not readable."""
    if not _has_exponent(size):
        figure = f"{abs(round(value, decimals)):,.{max(0, decimals)}f}"
    elif value:
        exponent = math.floor(math.log10(abs(value)))
        figure = f"{abs(value):.{max(0, decimals + exponent)}e}"
    else:
        figure = "0"
    return f"{text.MINUS if value < 0 and float(figure.replace(',', '')) else ''}{figure}"
