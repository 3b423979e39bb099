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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from results import text
from results.data import RunData
from results.decision import Decision, decisions
from results.differences import holm
from results.intervals import CONFIDENCE, half_width, wilson
from results.record import NOT_COUNTED, ClassCounts, FinalRecord

NAMED = 3
"""The most classes that a sentence names."""

DIGITS = 1
"""Of points: no class has so many images that a second one meant anything."""

LEAST_P = 1e-12
"""No p-value is computed below this."""

Term = tuple[int, "Share"]
"""A share of right answers that is added (1) or subtracted (-1)."""

Interval = tuple[float, float, float]
"""A difference of shares and the ends of its interval."""


@dataclass(frozen=True, slots=True)
class Share:
    """Right answers among the same images, with each seed of training."""

    right: tuple[int, ...]
    images: int

    @property
    def mean(self) -> float:
        """The share, 0..1, over all seeds."""
        return fmean(self.right) / self.images

    def margins(self, confidence: float) -> tuple[float, float]:
        """How far Wilson's interval over the choice of images reaches down and up."""
        low, high = wilson(fmean(self.right), self.images, confidence)
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
        return (
            f"At budget {budget} no class is shown to lose more than the others together. The "
            f"lowest change is that of class {worst.label}: "
            f"{figure(worst.change, worst.low, worst.high)} points, with "
            f"{text.plural(worst.images, 'test image')}."
        )
    named = [
        f"class {c.label} by {figure(c.excess, c.excess_low, c.excess_high)} points"
        for c in more[:NAMED]
    ]
    left = len(more) - len(named)
    several = f"{len(more)} of {len(changes)} classes change"
    what = f"{several if len(more) > 1 else 'one class changes'} for the worse against the others"
    return (
        f"At budget {budget} the loss is uneven: {what} together, "
        f"{text.listed([*named, f'{left} more'] if left else named)}; that holds when all "
        f"{more[0].comparisons} classes are allowed for (Holm)."
    )


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
    final, unpruned = decision.final, decision.unpruned
    after = _by_seed(final)
    seeds = [*after]
    once = next(iter(_by_seed(unpruned).values()), NOT_COUNTED)
    if not seeds or not once:
        return []
    before = dict.fromkeys(seeds, once)
    rival = _rival(run, final, seeds)
    changes = []
    for number, images in enumerate(once.images):
        if not images:
            continue
        own = [(1, _share(after, number)), (-1, _share(before, number))]
        rest = [(-1, _others(after, number)), (1, _others(before, number))]
        change, low, high = interval(own)
        apart = [*own, *rest] if rest[0][1].images else own
        excess, excess_low, excess_high = interval(apart)
        made = ClassChange(
            budget=str(final.budget),
            name=final.name,
            number=number,
            label=_label(run.provenance.classes, number),
            images=images,
            seeds=len(seeds),
            unpruned=own[1][1].mean,
            accuracy=own[0][1].mean,
            change=change,
            low=low,
            high=high,
            excess=excess,
            excess_low=excess_low,
            excess_high=excess_high,
            p_value=p_value(apart),
        )
        changes.append(_against(made, own[0][1], _share(rival, number)) if rival else made)
    return sorted(changes, key=lambda c: (c.change, c.number))


def _by_seed(final: FinalRecord) -> dict[int, ClassCounts]:
    """Seed to counts, of the trainings that have any."""
    pairs = zip(final.seeds, final.by_class, strict=False)
    return {seed: counts for seed, counts in pairs if counts}


def _rival(run: RunData, final: FinalRecord, seeds: Sequence[int]) -> dict[int, ClassCounts]:
    """The counts of uniform widths at the budget, where they are another network with the same
    seeds."""
    uniform = run.uniform_at(final.budget)
    if not isinstance(uniform, FinalRecord) or uniform.candidate == final.candidate:
        return {}
    counts = _by_seed(uniform)
    return {s: counts[s] for s in seeds} if all(seed in counts for seed in seeds) else {}


def _against(change: ClassChange, own: Share, uniform: Share) -> ClassChange:
    gain, low, high = interval([(1, own), (-1, uniform)])
    return replace(change, uniform=uniform.mean, gain=gain, gain_low=low, gain_high=high)


def _label(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def _share(counts: dict[int, ClassCounts], number: int) -> Share:
    every = list(counts.values())
    return Share(tuple(c.right[number] for c in every), every[0].images[number])


def _others(counts: dict[int, ClassCounts], number: int) -> Share:
    """Of all classes but one."""
    every = list(counts.values())
    right = tuple(sum(c.right) - c.right[number] for c in every)
    return Share(right, sum(every[0].images) - every[0].images[number])


def interval(terms: Sequence[Term], confidence: float = CONFIDENCE) -> Interval:
    """A sum of shares with signs, and its interval over images and seeds.

    The shares have the same seeds in the same order. Where all seeds agree, or there is one, the
    interval is over images alone.
    """
    shares = [[sign * right / share.images for right in share.right] for sign, share in terms]
    by_seed = [math.fsum(values) for values in zip(*shares, strict=True)]
    reach = half_width(by_seed, confidence) or 0.0
    margins = [share.margins(confidence)[::sign] for sign, share in terms]
    down, up = (math.hypot(reach, *each) for each in zip(*margins, strict=True))
    value = fmean(by_seed)
    return value, value - down, value + up


def p_value(terms: Sequence[Term]) -> float:
    """Two-sided, of a sum of zero: 1 - c for the largest confidence c whose interval leaves out
    zero."""
    if not (value := interval(terms)[0]):
        return 1.0
    end = 2 if value < 0 else 1  # the one towards zero
    return _largest(lambda p: interval(terms, 1 - p)[end] * value <= 0)


def _largest(includes_zero: Callable[[float], bool]) -> float:
    """The p from which on it no longer holds, by bisection of its logarithm."""
    low, high = math.log(LEAST_P), 0.0
    for _ in range(30):
        middle = (low + high) / 2
        if includes_zero(math.exp(middle)):
            low = middle
        else:
            high = middle
    return math.exp(high)


def at_budgets(changes: Sequence[ClassChange]) -> Iterator[list[ClassChange]]:
    """The changes of one budget after the other, in their order."""
    for budget in dict.fromkeys(change.budget for change in changes):
        yield [change for change in changes if change.budget == budget]
