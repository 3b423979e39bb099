"""Where the gain comes from: the steps from uniform widths, cut plainly, to the searched network.

| step | widths | channels and surgery | distilled |
|---|---|---|---|
| ``plain uniform`` | uniform | l1, plain cut: what one-line tools do | no |
| ``repaired uniform``, or ``uniform by obs`` with the plain cut | uniform | the run's | no |
| ``searched widths`` | the best of the budget | the run's | no |
| ``distilled`` | the same | the run's | yes |

A step that does not apply is left out. All are trained with the epochs and seeds of the finals, so
differences are paired by seed.

>>> for gain in gains(run.gain_steps):
...     print(gain.of.step, gain.paired.figure)
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from results import text
from results.codec import Stored
from results.differences import Paired, holm, paired, text_of_p
from results.metric import ACCURACY, MetricInfo
from results.record import FinalRecord
from spaces import Policy

PLAIN, REPAIRED, SEARCHED, DISTILLED = (
    *("plain uniform", "repaired uniform"),
    *("searched widths", "distilled"),
)
"""Names of steps; those of uniform widths that are not plain may be others."""

Side = Literal["above", "below", "around", "unknown", "alone"]
"""Of an interval from zero; ``alone``: apart from it, but not when all steps are allowed for."""


@dataclass(frozen=True, slots=True)
class GainStep(Stored):
    """One step at one budget: a network, trained with every final seed and tested.

    Attributes:
        budget: as in `FinalRecord`.
        step: ``plain uniform``, ``searched widths``, ...; see the table above.
        name: of the network: ``uniform@0.5``, ``trial 12``.
        policy: its widths.
        criterion: it chose the channels; empty for fresh weights.
        surgery: how the kept weights were adjusted; empty for fresh weights.
        distill, temperature: as in `TrainingSpec`.
        flops, flops_fraction: multiply-adds at batch 1, and their share of the unpruned network's.
        epochs: of each training.
        seeds: of the trainings; ``val_accuracy`` and ``test_accuracy`` hold one value for each.
    """

    budget: str
    step: str
    name: str
    policy: Policy
    criterion: str
    surgery: str
    distill: float
    temperature: float
    flops: int
    flops_fraction: float
    epochs: int
    seeds: tuple[int, ...]
    val_accuracy: tuple[float, ...]
    test_accuracy: tuple[float, ...]

    @property
    def trainings(self) -> int:
        """How many seeds it was trained with."""
        return len(self.seeds)

    @property
    def mean(self) -> float:
        """Mean test score over seeds."""
        return statistics.fmean(self.test_accuracy)

    @property
    def by_seed(self) -> dict[int, float]:
        """Seed to test score."""
        return dict(zip(self.seeds, self.test_accuracy, strict=True))


@dataclass(frozen=True, slots=True)
class Gain:
    """A step, and what it gained over the one before it at its budget.

    Attributes:
        before: ``None`` for the first step, which gains nothing.
        paired: the step minus the one before, seed by seed.
        comparisons: how many steps of all budgets are allowed for.
        adjusted: the p-value then (Holm); ``nan`` where there is none.
    """

    of: GainStep
    before: GainStep | None
    paired: Paired
    comparisons: int = 0
    adjusted: float = math.nan

    @property
    def same(self) -> bool:
        """Whether the step before is the same training, so that there is nothing to compare."""
        return self.before is not None and _training(self.before) == _training(self.of)

    @property
    def shown(self) -> bool:
        """Whether a difference is shown, all steps of all budgets allowed for."""
        return self.paired.claims(self.adjusted)

    @property
    def side(self) -> Side:
        """Where the interval of the score lies from zero, as it is printed; above is better."""
        if math.isnan(self.paired.low):
            return "unknown"
        if self.paired.outcome == "open":
            return "around"
        if not self.shown:
            return "alone"
        return "above" if self.paired.outcome == "better" else "below"

    @property
    def changed(self) -> str:
        """What sets the step apart from the one before, or all of the first; in words."""
        if self.same:
            return "nothing: the search found nothing better than uniform widths"
        return ", ".join(_changes(self.before, self.of)) or "nothing"

    @property
    def figure(self) -> str:
        """The gain with its interval; a dash for the first step."""
        return "same network" if self.same else self.paired.figure


def gains(steps: Iterable[GainStep], metric: MetricInfo = ACCURACY) -> list[Gain]:
    """Every step with its gain; the p-values of all are corrected together (Holm)."""
    every: list[Gain] = []
    for step in steps:
        before = every[-1].of if every and every[-1].of.budget == step.budget else None
        difference = paired(step.by_seed, before.by_seed if before else {}, metric=metric)
        every.append(Gain(step, before, difference))
    adjusted = holm([gain.paired.p_value for gain in every])
    m = sum(not math.isnan(p) for p in adjusted)
    return [replace(g, adjusted=p, comparisons=m) for g, p in zip(every, adjusted, strict=True)]


def by_budget(steps: Iterable[GainStep], metric: MetricInfo = ACCURACY) -> dict[str, list[Gain]]:
    """The gains of each budget, in the order of the steps; none of a budget with one step."""
    made: dict[str, list[Gain]] = {}
    for gain in gains(steps, metric):
        made.setdefault(gain.of.budget, []).append(gain)
    return {budget: own for budget, own in made.items() if len(own) > 1}


def together(own: Sequence[Gain]) -> Paired:
    """The last step of a budget minus its first."""
    last, first = own[-1], own[0]
    return paired(last.of.by_seed, first.of.by_seed, metric=last.paired.metric)


def unpruned(finals: Iterable[FinalRecord]) -> float | None:
    """Test score of the unpruned network; ``None`` until it was tested."""
    return next((f.test_accuracy[0] for f in finals if f.role == "baseline"), None)


def sentence(own: Sequence[Gain]) -> str:
    """Which step of a budget gave most, and for each step whether it is shown to be a gain."""
    budget = own[0].of.budget
    made = [gain for gain in own if gain.before and not gain.same and gain.paired.n]
    nothing = ["the search found nothing better than uniform widths" for gain in own if gain.same]
    if not made:
        clauses = nothing or ["no two steps share a seed that both were trained with"]
        return f"At budget {budget} {'; '.join(clauses)}."
    most = max(made, key=lambda gain: gain.paired.difference)
    others = [gain for gain in made if gain is not most]
    clauses = [_lead(most, bool(others)), *_intervals(most, others), *nothing]
    return f"At budget {budget} {'; '.join(clauses)}."


def _lead(most: Gain, several: bool) -> str:
    """The step that gave most, with its figures; none gave anything unless that is shown."""
    difference, step = most.paired, f"the step to {_listed([most.of.step])}"
    figures, metric = difference.phrase, difference.metric
    if not math.isnan(difference.low):
        seeds = text.plural(difference.n, "seed")
        figures += f" ({100 * difference.confidence:g} % interval over {seeds})"
    if metric.rounded(difference.difference, difference.half_width)[0] <= 0:
        moved = "raised" if metric.higher_is_better else "lowered"
        return f"no step {moved} the mean, {step} came closest: {figures}"
    if not several:
        return f"{step} gave {figures}"
    if most.side == "above":
        return f"{step} gave most: {figures}"
    return f"the largest difference is that of {step}: {figures}"


def _intervals(most: Gain, others: Sequence[Gain]) -> Iterable[str]:
    """What the intervals show, that of the most first and the others grouped."""
    if all(gain.paired.n == 1 for gain in (most, *others)):
        yield "with one seed no interval can be given, so no gain is shown"
        return
    yield f"it is {_shown(most)}"
    for side in dict.fromkeys(gain.side for gain in others):
        alike = [gain for gain in others if gain.side == side]
        names = _listed([gain.of.step for gain in alike])
        several = len(alike) > 1
        yield f"{names} {'are' if several else 'is'} {_shown(alike[0], several)}"


def _shown(gain: Gain, several: bool = False) -> str:
    """What the interval of a step shows, or those of several on one side of zero."""
    match gain.side:
        case "unknown":
            return "not shown, as every seed differs by the same and no interval can be given"
        case "around":
            return "not shown to change anything"
        case "alone":
            p = "" if several else f" (Holm: p = {text_of_p(gain.adjusted)})"
            return f"shown alone, but not when all {gain.comparisons} steps are allowed for{p}"
        case side:
            one, more = ("a gain", "gains") if side == "above" else ("a loss", "losses")
            return f"shown to be {more if several else one}"


def _listed(names: Sequence[str]) -> str:
    return text.listed(
        [f"\N{LEFT DOUBLE QUOTATION MARK}{name}\N{RIGHT DOUBLE QUOTATION MARK}" for name in names]
    )


def _training(step: GainStep) -> tuple[object, ...]:
    return step.policy, step.criterion, step.surgery, step.distill, step.temperature, step.epochs


def _changes(before: GainStep | None, step: GainStep) -> Iterable[str]:
    if before is None:
        yield "uniform widths"
    elif before.policy != step.policy:
        yield f"widths of {step.name}"
    if step.criterion and (before is None or before.criterion != step.criterion):
        yield f"channels by {step.criterion}"
    if not step.criterion and before is None:
        yield "fresh weights"
    if step.surgery and (before is None or before.surgery != step.surgery):
        yield "plain cut" if step.surgery == "plain" else f"surgery {step.surgery}"
    if step.distill and (before is None or not before.distill):
        yield f"distilled ({text.distillation(step.distill, step.temperature)})"
