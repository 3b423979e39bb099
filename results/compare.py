"""Search against uniform widths: one verdict a budget, from the final trainings.

The p-values of several budgets are corrected together (Holm).

>>> [verdict.sentence for verdict in verdicts(run.finals)]
['At budget 0.5 no difference between searched and uniform widths could be shown: ...']
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from results.paired import Paired, holm, paired
from results.record import FinalRecord


@dataclass(frozen=True, slots=True)
class Verdict:
    """Search against uniform at one budget; ``comparison`` is ``None`` when it did not happen."""

    budget: str
    comparison: Paired | None
    sentence: str


def verdicts(finals: Sequence[FinalRecord], budgets: Iterable[str] = ()) -> list[Verdict]:
    """One verdict a budget, in the order of ``budgets`` and then of the finals."""
    named = dict.fromkeys([*budgets, *(f.budget for f in finals if f.budget is not None)])
    alone = [_verdict(budget, [f for f in finals if f.budget == budget]) for budget in named]
    adjusted = holm([v.comparison.p_value if v.comparison else math.nan for v in alone])
    m = sum(not math.isnan(p) for p in adjusted)
    if m < 2:
        return alone
    return [_corrected(v, p, m) for v, p in zip(alone, adjusted, strict=True)]


def _corrected(verdict: Verdict, adjusted: float, comparisons: int) -> Verdict:
    if verdict.comparison is None or math.isnan(adjusted):
        return verdict
    sentence = _sentence(verdict.budget, verdict.comparison, adjusted, comparisons)
    return replace(verdict, sentence=sentence)


def _verdict(budget: str, finals: Sequence[FinalRecord]) -> Verdict:
    uniform = next((f for f in finals if f.role == "uniform"), None)
    searched = chosen(finals)
    if uniform is None or searched is None:
        missing = "uniform" if searched else "searched" if uniform else "searched or uniform"
        clause = f"there is no verdict: no {missing} widths were trained to the end"
        return Verdict(budget, None, f"At budget {budget} {clause}.")
    if searched.tried == uniform.tried:
        clause = "the search found nothing better than uniform widths"
        return Verdict(budget, None, f"At budget {budget} {clause}.")
    comparison = paired(_by_seed(searched), _by_seed(uniform))
    return Verdict(budget, comparison, _sentence(budget, comparison))


def _sentence(
    budget: str, comparison: Paired, adjusted: float | None = None, comparisons: int = 1
) -> str:
    clause = comparison.sentence(
        "the searched widths",
        "uniform ones",
        plural=True,
        both="searched and uniform widths",
        adjusted=adjusted,
        comparisons=comparisons,
    )
    return f"At budget {budget} {clause}."


def chosen(finals: Iterable[FinalRecord]) -> FinalRecord | None:
    """The searched policy that represents these finals: the one marked best, else the first."""
    searched = [f for f in finals if f.role == "searched"]
    return max(searched, key=lambda f: f.best, default=None)


def _by_seed(final: FinalRecord) -> dict[int, float]:
    return dict(zip(final.seeds, final.test_accuracy, strict=True))
