"""Search against uniform widths: one verdict a budget, from the final trainings.

The p-values of several budgets are corrected together (Holm).

>>> [verdict.sentence for verdict in verdicts(run.finals)]
['At budget 0.5 no difference between searched and uniform widths could be shown: ...']
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from results.differences import Paired, holm, paired
from results.metric import ACCURACY, MetricInfo
from results.record import FinalRecord


@dataclass(frozen=True, slots=True)
class Verdict:
    """Search against uniform at one budget; ``comparison`` is ``None`` when it did not happen."""

    budget: str
    comparison: Paired | None
    sentence: str


def verdicts(
    finals: Sequence[FinalRecord], budgets: Iterable[str] = (), metric: MetricInfo = ACCURACY
) -> list[Verdict]:
    """One verdict a budget, in the order of ``budgets`` and then of the finals."""
    named = dict.fromkeys([*budgets, *(f.budget for f in finals if f.budget is not None)])
    of = {budget: [f for f in finals if f.budget == budget] for budget in named}
    alone = [_verdict(budget, own, metric) for budget, own in of.items()]
    adjusted = holm([v.comparison.p_value if v.comparison else math.nan for v in alone])
    m = sum(not math.isnan(p) for p in adjusted)
    if m < 2:
        return alone
    corrected = [None if math.isnan(p) else p for p in adjusted]
    pairs = zip(of.items(), corrected, strict=True)
    return [_verdict(b, own, metric, p, m) for (b, own), p in pairs]


def _verdict(
    budget: str,
    finals: Sequence[FinalRecord],
    metric: MetricInfo,
    adjusted: float | None = None,
    comparisons: int = 1,
) -> Verdict:
    uniform = next((f for f in finals if f.role == "uniform"), None)
    searched = chosen(finals)
    comparison = None
    if uniform is None or searched is None:
        missing = "uniform" if searched else "searched" if uniform else "searched or uniform"
        clause = f"there is no verdict: no {missing} widths were trained to the end"
    elif searched.candidate == uniform.candidate:
        clause = "the search found nothing better than uniform widths"
    else:
        comparison = paired(by_seed(searched), by_seed(uniform), metric=metric)
        left, right, both = sides(searched.criterion, uniform.criterion)
        clause = comparison.sentence(
            left, right, plural=True, both=both, adjusted=adjusted, comparisons=comparisons
        )
    return Verdict(budget, comparison, f"At budget {budget} {clause}.")


def sides(searched: str, uniform: str) -> tuple[str, str, str]:
    """Both sides and the two together, as `Paired.sentence` takes them.

    Where two criteria chose the channels, the widths alone must not be given the credit.

    >>> sides("thinet", "l1")[:2]
    ('the searched widths under thinet', 'uniform ones under l1')
    """
    if searched == uniform:
        return "the searched widths", "uniform ones", "searched and uniform widths"
    left, right = f"the searched widths under {searched}", f"uniform ones under {uniform}"
    return left, right, f"{left} and {right}"


def chosen(finals: Iterable[FinalRecord]) -> FinalRecord | None:
    """The searched policy that represents these finals: the one marked best, else the first."""
    searched = [f for f in finals if f.role == "searched"]
    return max(searched, key=lambda f: f.best, default=None)


def by_seed(final: FinalRecord) -> dict[int, float]:
    """Seed to test score."""
    return dict(zip(final.seeds, final.test_accuracy, strict=True))
