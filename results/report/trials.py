"""How the trials of a run went, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from results.data import RunData


@dataclass(frozen=True, slots=True)
class BudgetCount:
    """How the trials of one budget went; ``name`` is ``None`` for trials above every budget."""

    name: str | None
    limit: int | None
    trials: int
    trained: int
    best: float | None


def counts(run: RunData) -> list[BudgetCount]:
    """One line a budget, and one more when trials lie above all of them."""
    lines = []
    for name in [*run.budgets, None]:
        trials = run.trials_at(name)
        if name is None and not trials:
            continue
        best = max((r.val_accuracy for r in run.compared_at(name)), default=None)
        trained = sum(r.rung > 0 for r in trials)
        limit = run.budgets[name] if name else None
        lines.append(BudgetCount(name, limit, len(trials), trained, best))
    return lines


def states(run: RunData) -> dict[str, int]:
    """How many trials are complete, stopped, failed and running, leaving out none of them."""
    counted = Counter(r.state for r in run.records)
    return {state: counted[state] for state in ("complete", "stopped", "failed", "running")}


def failures(run: RunData) -> list[tuple[str, int]]:
    """Reasons of failed trials and how many gave each, most frequent first."""
    failed = (r for r in run.records if r.state == "failed")
    return Counter(r.reason or "no reason given" for r in failed).most_common()
