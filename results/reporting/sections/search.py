"""The search: how its trials went, and whether the rungs stopped the right ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from results import text
from results.data import RunData
from results.metric import MetricInfo
from results.pareto import hypervolume_history
from results.record import TrialRecord
from results.reporting.blocks import Block, Cells, Column, Figure, Paragraph, Table, tabulate
from results.reporting.networks import spent
from results.reporting.origins import Origin, origin_of
from results.reporting.plots.search import history, volumes
from results.rules import tolerance
from results.stops import Judged, judged
from results.stops import rungs as count_rungs
from spaces.budget import CostKind

FEW = 10
"""Fewer explored trials than this allow no judgement of a rung, only a count."""


@dataclass(frozen=True, slots=True)
class BudgetCount:
    """How the trials of one budget went; ``name`` is ``None`` for trials above every budget."""

    name: str | None
    limit: int | None
    trials: int
    trained: int
    best: float | None


JUDGED: Cells[Judged] = {
    Column("came to the top", label=True): lambda line: (
        "promoted" if line.rung is None else f"explored, against rung {line.rung}"
    ),
    Column("policies", numeric=True): lambda line: str(line.n),
    Column("kept there by the rule", numeric=True): lambda line: str(line.kept),
    Column("share, 95 % interval"): lambda line: _share(line) if line.n else text.NONE,
    Column("on the front", numeric=True): lambda line: str(line.front),
}


def blocks(run: RunData) -> Iterator[Block]:
    """Something at any moment: also that there is no trial yet."""
    yield Paragraph(_states(run))
    if run.budgets and run.records:
        yield tabulate(counts(run), _budgets(run.metric, run.kind))
        if len(run.budgets) > 1:
            yield Paragraph("A trial counts for the tightest budget that it meets.", "soft")
    failed = Counter(r.reason or "no reason given" for r in run.records if r.state == "failed")
    if failed:
        yield Paragraph("Why trials failed:")
        yield Table(
            (Column("trials", numeric=True), Column("reason")),
            [[str(n), reason] for reason, n in failed.most_common()],
        )
    if any(r.rung for r in run.records):
        yield from _pictures(run)
    if any(r.proxies for r in run.records):
        yield from _rungs(run)
    if run.records:
        yield tabulate(run.records, _trials(run), folded="All trials as a table")


def _budgets(metric: MetricInfo, kind: CostKind) -> Cells[BudgetCount]:
    return {
        Column("budget", label=True): lambda line: line.name or "above every budget",
        Column(f"most {kind.title}", numeric=True): lambda line: text.amount(line.limit, kind),
        Column("trials at or under it", numeric=True): lambda line: str(line.trials),
        Column("of these trained", numeric=True): lambda line: str(line.trained),
        Column(f"best {metric.head('validation')}", numeric=True): lambda line: metric.number(
            line.best
        ),
    }


def _trials(run: RunData) -> Cells[TrialRecord]:
    metric = run.metric
    return {
        Column("trial", numeric=True, label=True): lambda r: str(r.number),
        Column("state"): lambda r: r.state,
        Column("origin"): lambda r: r.origin,
        Column("criterion", minor=True): lambda r: r.criterion,
        Column("trained", minor=True): lambda r: r.mode,
        Column("% of FLOPs", numeric=True): lambda r: text.number(r.flops_fraction),
        **spent(run.kind),
        Column("parameters", numeric=True, minor=True): lambda r: text.count(r.params),
        Column(f"{metric.head('validation')}, rung by rung"): lambda r: (
            ", ".join(map(metric.number, r.accuracy)) or text.NONE
        ),
        Column("seconds", numeric=True, minor=True): lambda r: f"{r.seconds:.1f}",
        Column("explored at rung", minor=True): lambda r: ", ".join(map(str, r.explored)),
        Column("reason", minor=True): lambda r: r.reason,
    }


def counts(run: RunData) -> list[BudgetCount]:
    """One line a budget, and one more when trials lie above all of them."""
    lines = []
    for name in [*run.budgets, *([None] if run.trials_at(None) else [])]:
        trials = run.trials_at(name)
        trained = sum(r.rung > 0 for r in trials)
        best = max((r.val_accuracy for r in run.compared_at(name)), default=None)
        limit = run.budgets[name] if name else None
        lines.append(BudgetCount(name, limit, len(trials), trained, best))
    return lines


def _states(run: RunData) -> str:
    state, n = Counter(r.state for r in run.records), len(run.records)
    running = f", {state['running']} running" if state["running"] else ""
    sentence = (
        f"{text.plural(n, 'trial')}: {state['complete']} complete, {state['stopped']} stopped "
        f"at a rung, {state['failed']} failed{running}."
    )
    if not (run.budgets and n):
        return sentence
    met = [line for line in counts(run) if line.name]
    which = "their budget" if len(met) > 1 else "the budget"
    return (
        f"{sentence} {sum(line.trials for line in met)} of {n} are at or under {which}, and "
        f"{sum(line.trained for line in met)} of those were trained."
    )


def _pictures(run: RunData) -> Iterator[Figure]:
    yield Figure(
        "history",
        history(run),
        "The search, trial by trial, on the validation split. The table of all trials is below.",
    )
    if run.metric.is_share and (lines := _volumes(run)):
        yield Figure(
            "hypervolume",
            volumes(lines),
            "Hypervolume of the Pareto front against trials that ended, whether complete, stopped "
            "or failed: the area that the front dominates, of the share of FLOPs and the "
            f"{run.metric.name}, both from 0 to 1. "
            "Higher is better; it never falls. The other lines are what the starts (uniform "
            "widths, global rankings and widths by sensitivity) and policies drawn at random had "
            "reached alone by then; the search had more trials than either, so this is no race.",
            _volume_table(lines),
        )


def _volumes(run: RunData) -> list[tuple[str, list[float]]]:
    """The lines that have anything to show."""

    def alone(*origins: Origin) -> list[float]:
        return hypervolume_history(run.records, lambda r: origin_of(run, r) in origins)

    lines = [
        ("all trials", hypervolume_history(run.records)),
        ("starts alone", alone("uniform", "ranking", "sensitivity")),
        ("random policies alone", alone("random")),
    ]
    return [(title, values) for title, values in lines if values and values[-1] > 0]


def _volume_table(lines: Sequence[tuple[str, Sequence[float]]]) -> Table:
    """The trials after which a line rises, and the last."""
    columns = [Column("trials that ended", numeric=True, label=True)]
    columns += [Column(title, numeric=True) for title, _ in lines]
    heights = list(zip(*(values for _, values in lines), strict=True))
    rows = [
        [str(i + 1), *(f"{height:.5f}" if height else text.NONE for height in row)]
        for i, row in enumerate(heights)
        if i + 1 == len(heights) or row != (heights[i - 1] if i else (0.0,) * len(row))
    ]
    return Table(columns, rows)


def _rungs(run: RunData) -> Iterator[Block]:
    plan = run.provenance.settings.rungs
    lines = count_rungs(run.records, len(plan))
    yield Paragraph(
        "Which trials were stopped where. Every trial begins at rung 0, where proxies score it "
        "without training. A trial that enough others of at most its FLOPs outdo is stopped; the "
        "rest are promoted, and a random few of the losers too, which are said to be explored."
    )
    ways = ("reached", "promoted", "explored", "stopped", "complete", "failed", "running")
    columns = [Column(way, numeric=True, minor=way == "running") for way in ways]
    yield Table(
        [Column("rung", label=True), *columns],
        [[_rung_name(r.rung, plan), *(str(getattr(r, way)) for way in ways)] for r in lines],
    )
    if any(line.stopped or line.explored for line in lines):
        yield from _rightly(run)


def _rung_name(rung: int, plan: Sequence[int]) -> str:
    if rung == 0:
        return "0 (proxies)"
    return f"{rung} ({text.plural(plan[rung - 1], 'epoch')})" if rung <= len(plan) else str(rung)


def _rightly(run: RunData) -> Iterator[Block]:
    about = run.provenance
    eta = about.settings.eta
    lines = judged(run.records, eta, tolerance(about.full_size, about.tolerance))
    *explored, promoted = lines
    yield Paragraph(_sentence(explored, promoted))
    if not explored:
        return
    yield tabulate(lines, JUDGED)
    yield Paragraph(
        "Whether a trial is explored is drawn from its seed and not from its score, so those "
        "explored at a rung stand for all that were stopped there. A stop would have been wrong "
        "where the rule itself, after the training of the top rung, had kept the policy: among "
        f"the best 1/{eta:g} of those there with at most its FLOPs. Compare with the last line: a "
        "rung that tells nothing gives both the same share. Intervals are Wilson's.",
        "soft",
    )


def _sentence(explored: Sequence[Judged], promoted: Judged) -> str:
    """What the sample allows to say about the stops of all rungs together."""
    n, kept = sum(line.n for line in explored), sum(line.kept for line in explored)
    front = sum(line.front for line in explored)
    if n == 0:
        return (
            "Whether they were stopped rightly cannot be said: no trial that the rule would have "
            "stopped was explored up to the top."
        )
    would = (
        f"{kept} of the {n} that came to the top only because they were explored would have been "
        f"kept there by the rule, and {front} {'is' if front == 1 else 'are'} on the front"
    )
    if n < FEW:
        return f"Were they stopped rightly? {would}: too few to say."
    against = f", against {100 * promoted.share:.0f} % of those that were promoted"
    return (
        f"Were they stopped rightly? {would}: of the stops {_share(Judged(None, n, kept, front))} "
        f"look wrong{against if promoted.n else ''}."
    )


def _share(line: Judged) -> str:
    """The share that the rule would keep, with its interval."""
    low, high = line.interval
    return f"{100 * line.share:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
