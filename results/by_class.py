"""Accuracy class by class: what each class lost in the network to ship, and whether one lost more.

>>> [(change.label, change.change) for change in class_changes(run)][:2]
[('cat', -0.081), ('bird', -0.034)]

An interval covers both the choice of the test images and the seeds of training: Wilson's intervals
of the shares of right answers and Student's over seeds, put together as Newcombe (Statistics in
Medicine 17, 1998, method 10) and Zou and Donner (Statistics in Medicine 27, 2008) do. All networks
see the same images, which is not used, so it is wider than it need be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from results import text
from results.data import RunData
from results.decision import Decision, decisions
from results.differences import holm
from results.intervals import CONFIDENCE, Array, wilsons
from results.record import NOT_COUNTED, ClassCounts, FinalRecord

NAMED = 3
"""The most classes that a sentence names."""

DIGITS = 1
"""Of points: no class has so many images that a second one meant anything."""

LEAST_P = 1e-12
"""No p-value is computed below this."""

Term = tuple[int, "Shares"]
"""Shares of right answers that are added (1) or subtracted (-1)."""

Interval = tuple[Array, Array, Array]
"""A difference of shares and the ends of its interval, for each class."""


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Right answers in each class, (seeds, classes), and the images of each class, (classes,)."""

    right: Array
    images: Array

    @property
    def mean(self) -> Array:
        """The shares, 0..1, over all seeds."""
        mean: Array = self.right.mean(axis=0) / self.images
        return mean

    @property
    def others(self) -> Shares:
        """Of all classes but each."""
        return Shares(
            self.right.sum(axis=1, keepdims=True) - self.right, self.images.sum() - self.images
        )

    def margins(self, confidence: float | Array) -> tuple[Array, Array]:
        """How far Wilson's intervals over the choice of images reach down and up."""
        low, high = wilsons(self.right.mean(axis=0), self.images, confidence)
        return self.mean - low, high - self.mean


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassChange:
    """One class in the network to ship at one budget. Fractions of 1, as accuracies are.

    Attributes:
        name: of that network.
        number, label: of the class; the label is its number where its name is not known.
        images: of this class in the test split.
        seeds: of training; the unpruned network has one training.
        unpruned, accuracy: test accuracy of the unpruned network and of this one, over seeds.
        change: the second minus the first; ``low`` and ``high`` are the ends of its interval.
        excess: by how much this differs from the change of all other classes together.
        p_value: two-sided, of no excess.
        adjusted: the same, all classes of all budgets allowed for (Holm).
        comparisons: how many these are.
        shown: whether the class is shown to lose more than the others together.
        uniform: test accuracy of uniform widths at the budget; ``nan`` where these are shipped, or
            were not trained with the same seeds.
        gain: over uniform widths, paired by seed.
        confidence: of the intervals.
    """

    budget: str
    name: str
    number: int
    label: str
    images: int
    seeds: int
    unpruned: float
    accuracy: float
    change: float
    low: float
    high: float
    excess: float
    excess_low: float
    excess_high: float
    p_value: float
    adjusted: float = math.nan
    comparisons: int = 0
    shown: bool = False
    uniform: float = math.nan
    gain: float = math.nan
    gain_low: float = math.nan
    gain_high: float = math.nan
    confidence: float = CONFIDENCE


def class_changes(run: RunData) -> list[ClassChange]:
    """Every class at every budget, those that lost most first; none in runs of older versions."""
    changes = [change for decision in decisions(run) for change in _at_budget(run, decision)]
    adjusted = holm([change.p_value for change in changes])
    pairs = zip(changes, adjusted, strict=True)
    return [_judged(change, p, len(changes)) for change, p in pairs]


def uneven(changes: Sequence[ClassChange]) -> list[ClassChange]:
    """Those that are shown to lose more than the others of their budget, the largest excess
    first."""
    return sorted((c for c in changes if c.shown), key=lambda c: c.excess)


def sentence(changes: Sequence[ClassChange]) -> str:
    """Whether the loss is uneven, of the changes at one budget."""
    budget, worst = changes[0].budget, min(changes, key=lambda c: c.change)
    if not (more := uneven(changes)):
        images = f"{worst.images:,} test {'image' if worst.images == 1 else 'images'}"
        return (
            f"At budget {budget} no class is shown to lose more than the others together. The "
            f"lowest change is that of class {worst.label}: "
            f"{figure(worst.change, worst.low, worst.high)} points, over {images} and "
            f"{text.plural(worst.seeds, 'seed')} of training."
        )
    named = [f"class {c.label} by {_more(c)}" for c in more[:NAMED]]
    if len(more) > NAMED:
        named.append(f"{len(more) - NAMED} more")
    verb = "classes loses" if len(more) == 1 else "classes lose"
    return (
        f"At budget {budget} the loss is uneven: {len(more)} of {len(changes)} {verb} more than "
        f"the others together, {text.listed(named)}, with all {more[0].comparisons} classes "
        "allowed for (Holm)."
    )


def _more(change: ClassChange) -> str:
    """By how much a class loses more, with its interval."""
    ends = change.excess, change.excess_high, change.excess_low
    points, low, high = (f"{-100 * end:.{DIGITS}f}" for end in ends)
    return f"{points} points (95 % interval {low} to {high})"


def warnings(run: RunData) -> dict[str, str]:
    """The sentence of each budget at which the loss is uneven."""
    own = at_budgets(class_changes(run))
    return {changes[0].budget: sentence(changes) for changes in own if uneven(changes)}


def figure(value: float, low: float, high: float) -> str:
    """A difference in points with its interval: ``−4.3 [−10.1, +1.5]``; a dash for ``nan``."""
    if math.isnan(value):
        return text.NONE
    points, lower, upper = (text.signed(each, DIGITS) for each in (value, low, high))
    return f"{points} [{lower}, {upper}]"


def _judged(change: ClassChange, adjusted: float, comparisons: int) -> ClassChange:
    # A claim must not go further than what its reader can see, so the rounded figures count.
    apart = round(100 * change.excess_high, DIGITS) < 0
    shown = apart and round(adjusted, 3) < round(1 - CONFIDENCE, 9)
    return replace(change, adjusted=adjusted, comparisons=comparisons, shown=shown)


def _at_budget(run: RunData, decision: Decision) -> list[ClassChange]:
    final = decision.final
    trained = _by_seed(final)
    once = next(iter(_by_seed(decision.unpruned).values()), NOT_COUNTED)
    if not trained or not once:
        return []
    there = [number for number, images in enumerate(once.images) if images]
    after, before = (_shares(c, there) for c in (trained.values(), [once] * len(trained)))
    own = [(1, after), (-1, before)]
    rest = [(-1, after.others), (1, before.others)] if len(there) > 1 else []
    uniform = _rival(run, final, trained)
    figures = {
        "unpruned": before.mean,
        "accuracy": after.mean,
        **_named(("change", "low", "high"), interval(own)),
        **_named(("excess", "excess_low", "excess_high"), interval([*own, *rest])),
        "p_value": p_value([*own, *rest]),
    }
    if uniform:
        rival = _shares(uniform, there)
        figures["uniform"] = rival.mean
        gains = interval([(1, after), (-1, rival)])
        figures |= _named(("gain", "gain_low", "gain_high"), gains)
    changes = [
        ClassChange(
            budget=str(final.budget),
            name=final.name,
            number=number,
            label=_label(run.provenance.classes, number),
            images=once.images[number],
            seeds=len(trained),
            **_at(place, figures),
        )
        for place, number in enumerate(there)
    ]
    return sorted(changes, key=lambda c: (c.change, c.number))


def _at(place: int, figures: Mapping[str, Array]) -> dict[str, Any]:
    """The figures of one class."""
    return {name: float(values[place]) for name, values in figures.items()}


def _named(names: Sequence[str], found: Interval) -> dict[str, Array]:
    return dict(zip(names, found, strict=True))


def _by_seed(final: FinalRecord) -> dict[int, ClassCounts]:
    """Seed to counts, of the trainings that have any."""
    pairs = zip(final.seeds, final.by_class, strict=False)
    return {seed: counts for seed, counts in pairs if counts}


def _rival(run: RunData, final: FinalRecord, seeds: Iterable[int]) -> list[ClassCounts]:
    """The counts of uniform widths at the budget, where they are another network with the same
    seeds."""
    uniform = run.uniform_at(final.budget)
    if not isinstance(uniform, FinalRecord) or uniform.candidate == final.candidate:
        return []
    counts = _by_seed(uniform)
    return [counts[seed] for seed in seeds] if counts.keys() >= {*seeds} else []


def _label(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def _shares(counts: Iterable[ClassCounts], classes: Sequence[int]) -> Shares:
    """Of these classes; the counts are of the same images."""
    every = list(counts)
    right = np.array([c.right for c in every], dtype=float)[:, classes]
    return Shares(right, np.array(every[0].images, dtype=float)[classes])


def interval(terms: Sequence[Term], confidence: float | Array = CONFIDENCE) -> Interval:
    """Sums of shares with signs, and their intervals over images and seeds.

    The shares have the same seeds in the same order. An interval goes no further than shares can,
    which few seeds would have it do. Where all seeds agree, or there is one, the
    interval is over images alone.
    """
    by_seed = np.sum([sign * shares.right / shares.images for sign, shares in terms], axis=0)
    margins = [shares.margins(confidence)[::sign] for sign, shares in terms]
    reach = _over_seeds(by_seed, confidence)
    downs, ups = zip(*margins, strict=True)
    down, up = (np.sqrt(reach**2 + np.sum(np.square(each), axis=0)) for each in (downs, ups))
    value = by_seed.mean(axis=0)
    least, most = -sum(sign < 0 for sign, _ in terms), sum(sign > 0 for sign, _ in terms)
    return value, np.maximum(value - down, least), np.minimum(value + up, most)


def _over_seeds(by_seed: Array, confidence: float | Array) -> Array:
    """Half widths of Student's intervals of the means of (seeds, classes), as `half_width`."""
    seeds = len(by_seed)
    if seeds < 2:
        return np.zeros(by_seed.shape[1])
    from scipy.special import stdtrit

    deviation = by_seed.std(axis=0, ddof=1)
    quantile = stdtrit(seeds - 1, (1 + np.asarray(confidence)) / 2)
    return np.where(deviation < 1e-9, 0.0, quantile * deviation / math.sqrt(seeds))


def p_value(terms: Sequence[Term]) -> Array:
    """Two-sided, of sums of zero: 1 - c for the largest confidence c whose interval leaves out
    zero, by bisection of its logarithm."""
    value = interval(terms)[0]
    low, high = np.full(len(value), math.log(LEAST_P)), np.zeros(len(value))
    for _ in range(30):
        middle = (low + high) / 2
        _, lower, upper = interval(terms, 1 - np.exp(middle))
        includes = (lower <= 0) & (upper >= 0)
        low, high = np.where(includes, middle, low), np.where(includes, high, middle)
    return np.exp(high)


def at_budgets(changes: Sequence[ClassChange]) -> Iterator[list[ClassChange]]:
    """The changes of one budget after the other, in their order."""
    for budget in dict.fromkeys(change.budget for change in changes):
        yield [change for change in changes if change.budget == budget]
