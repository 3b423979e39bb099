"""Search against uniform widths: one verdict a budget, from the final trainings.

>>> [verdict.sentence for verdict in verdicts(run.finals)]
['At budget 0.5 no difference between searched and uniform widths could be shown: ...']
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from results.paired import Paired, paired
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
    clause = comparison.sentence(
        "the searched widths", "uniform ones", plural=True, both="searched and uniform widths"
    )
    return Verdict(budget, comparison, f"At budget {budget} {clause}.")


def chosen(finals: Iterable[FinalRecord]) -> FinalRecord | None:
    """The searched policy that represents these finals: the one marked best, else the first."""
    searched = [f for f in finals if f.role == "searched"]
    return max(searched, key=lambda f: f.best, default=None)


def _by_seed(final: FinalRecord) -> dict[int, float]:
    return dict(zip(final.seeds, final.test_accuracy, strict=True))
