"""Which criterion did best, where a search tried several."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from results import text
from results.data import RunData, furthest
from results.metric import MetricInfo
from results.record import TrialRecord
from results.reporting.blocks import Block, Column, Paragraph, Table
from results.stops import once

CARE = (
    "Which channels stay was searched with the widths. Best and median are over the trials that "
    "were trained to the top rung. A sampler proposes more of what did well, and the rungs stop "
    "what does not, so they show where the search went; they are no fair comparison of the "
    "criteria. Uniform widths are nearer to one: the same widths, trained with the same seed under "
    "each criterion, as far as the rungs let them."
)


def blocks(run: RunData) -> Iterator[Block]:
    """Nothing where one criterion served all trials."""
    if len(run.criteria) < 2:
        return
    rows = [
        _row(run, budget, criterion)
        for budget in [*run.budget_names, None]
        for criterion in run.criteria
        if budget or run.trials_at(None)
    ]
    columns = (
        Column("budget", minor=True),
        Column("criterion", label=True),
        Column("trials", numeric=True, minor=True),
        Column("at the top rung", numeric=True),
        Column(f"best {run.metric.head('validation')}", numeric=True),
        Column("median", numeric=True),
        Column("uniform widths"),
    )
    yield Table(columns, rows)
    yield Paragraph(CARE, "soft")


def _row(run: RunData, budget: str | None, criterion: str) -> list[str]:
    def own(records: list[TrialRecord]) -> list[TrialRecord]:
        return [r for r in records if r.criterion == criterion]

    reached = [r.val_accuracy for r in once(own(run.compared_at(budget)))]
    return [
        budget or "above every budget",
        criterion,
        str(len(own(run.trials_at(budget)))),
        str(len(reached)),
        run.metric.number(max(reached, default=None)),
        run.metric.number(statistics.median(reached) if reached else None),
        _uniform(furthest(own(run.uniform_starts(budget))), run.metric),
    ]


def _uniform(trial: TrialRecord | None, metric: MetricInfo) -> str:
    """``95.54``; with the rung where it ended, if that was not the top."""
    if trial is None:
        return text.NONE
    reached = metric.number(trial.val_accuracy if trial.rung else None)
    ended = "" if trial.state == "complete" else f" ({trial.state} at rung {trial.rung})"
    return reached + ended
