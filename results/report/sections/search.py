"""The search: how its trials went, and whether the rungs stopped the right ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from results import text
from results.data import RunData
from results.pareto import hypervolume_history
from results.report import plots
from results.report.blocks import Block, Column, Figure, Paragraph, Section, Table
from results.report.origins import origin_of
from results.report.trials import counts, failures, states
from results.rules import tolerance
from results.stops import Judged, Rung, judged
from results.stops import rungs as count_rungs

FEW = 10
"""Fewer trials by coin than this allow no judgement of a rung, only a count."""


def section(run: RunData) -> Section:
    """Never empty: it says that there is no trial yet."""
    return Section("search", "The search", list(_blocks(run)))


def _blocks(run: RunData) -> Iterator[Block]:
    yield Paragraph(_states(run))
    if run.budgets and run.records:
        yield _budgets(run)
        if len(run.budgets) > 1:
            yield Paragraph("A trial counts for the tightest budget that it meets.", "soft")
    failed = failures(run)
    if failed:
        yield Paragraph("Why trials failed:")
        yield Table(
            (Column("trials", numeric=True), Column("reason")),
            [[str(n), reason] for reason, n in failed],
        )
    if any(r.rung for r in run.records):
        yield from _pictures(run)
    if any(r.proxies for r in run.records):
        yield from _rungs(run)
    if run.records:
        yield _all_trials(run)


def _states(run: RunData) -> str:
    state, n = states(run), len(run.records)
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


def _budgets(run: RunData) -> Table:
    columns = (
        Column("budget", label=True),
        Column("most FLOPs", numeric=True),
        Column("trials at or under it", numeric=True),
        Column("of these trained", numeric=True),
        Column("best validation %", numeric=True),
    )
    rows = [
        [
            line.name or "above every budget",
            text.count(line.limit),
            str(line.trials),
            str(line.trained),
            text.number(line.best),
        ]
        for line in counts(run)
    ]
    return Table(columns, rows)


def _pictures(run: RunData) -> Iterator[Figure]:
    yield Figure(
        "history",
        plots.history(run),
        "The search, trial by trial, on the validation split. The table of all trials is below.",
    )
    lines = _volumes(run)
    if lines:
        yield Figure(
            "hypervolume",
            plots.volumes(lines),
            "Hypervolume of the front against trials that ended, whether complete, stopped or "
            "failed: the share of the square of FLOPs and accuracy that the front dominates. "
            "Higher is better; it never falls. Beside all trials, what the starts (uniform "
            "widths, global rankings and widths by importances) and policies drawn at random had "
            "reached alone by then; the search had more trials than either, so this is no race.",
            _volume_table(lines),
        )


def _volumes(run: RunData) -> list[tuple[str, list[float]]]:
    """The lines that have anything to show."""
    starts = hypervolume_history(
        run.records, lambda r: origin_of(run, r) in ("uniform", "ranking", "importance")
    )
    drawn = hypervolume_history(run.records, lambda r: origin_of(run, r) == "random")
    lines = [
        ("all trials", hypervolume_history(run.records)),
        ("starts alone", starts),
        ("random policies alone", drawn),
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
        "Who was stopped where. Every trial begins at rung 0, where proxies score it without "
        "training. A trial that enough others of at most its FLOPs outdo is stopped; the rest "
        "climb on merit, and some of the outdone by coin, whatever their score."
    )
    yield _rung_table(lines, plan)
    if any(r.stopped for r in lines) or any(r.coin for r in lines):
        yield from _rightly(run)


def _rung_table(lines: Sequence[Rung], plan: Sequence[int]) -> Table:
    columns = (
        Column("rung", label=True),
        Column("reached", numeric=True),
        Column("on merit", numeric=True),
        Column("by coin", numeric=True),
        Column("stopped", numeric=True),
        Column("complete", numeric=True),
        Column("failed", numeric=True),
        Column("running", numeric=True, minor=True),
    )
    rows = [
        [
            _rung_name(line.rung, plan),
            *map(str, (line.reached, line.merit, line.coin, line.stopped)),
            *map(str, (line.complete, line.failed, line.running)),
        ]
        for line in lines
    ]
    return Table(columns, rows)


def _rung_name(rung: int, plan: Sequence[int]) -> str:
    if rung == 0:
        return "0 (proxies)"
    return f"{rung} ({text.plural(plan[rung - 1], 'epoch')})" if rung <= len(plan) else str(rung)


def _rightly(run: RunData) -> Iterator[Block]:
    about = run.provenance
    eta = about.settings.eta
    lines = judged(run.records, eta, tolerance(about.full_flops, about.tolerance))
    by_coin, merit = lines[:-1], lines[-1]
    yield Paragraph(_sentence(by_coin, merit))
    if not by_coin:
        return
    yield Table(
        (
            Column("came to the top", label=True),
            Column("policies", numeric=True),
            Column("kept there by the rule", numeric=True),
            Column("share, 95 % interval"),
            Column("on the front", numeric=True),
        ),
        [_judged_row(line) for line in lines],
    )
    yield Paragraph(
        "The coin is drawn from a trial's seed and not from its score, so those it let climb past "
        "a rung stand for all that were stopped there. A stop would have been wrong where the rule "
        "itself, after the training of the top rung, had kept the policy: among the best "
        f"1/{eta:g} of those there with at most its FLOPs. Compare with the last line: a rung "
        "that tells nothing gives both the same share. Intervals are Wilson's.",
        "soft",
    )


def _sentence(by_coin: Sequence[Judged], merit: Judged) -> str:
    """What the sample allows to say about the stops of all rungs together."""
    n, kept = sum(line.n for line in by_coin), sum(line.kept for line in by_coin)
    front = sum(line.front for line in by_coin)
    if n == 0:
        return (
            "Whether they were stopped rightly cannot be said: no trial that the rule would have "
            "stopped was let climb to the top by the coin."
        )
    pooled = Judged(None, n, kept, front)
    would = (
        f"{kept} of the {n} that climbed to the top only by coin would have been kept there by the "
        f"rule, and {front} {'is' if front == 1 else 'are'} on the front"
    )
    if n < FEW:
        return f"Were they stopped rightly? {would}: too few to say."
    low, high = pooled.interval
    beside = f", against {100 * merit.share:.0f} % of those that climbed on merit"
    return (
        f"Were they stopped rightly? {would}: of the stops {100 * pooled.share:.0f} % "
        f"[{100 * low:.0f}, {100 * high:.0f}] look wrong{beside if merit.n else ''}."
    )


def _judged_row(line: Judged) -> list[str]:
    how = "on merit" if line.rung is None else f"by coin, against rung {line.rung}"
    low, high = line.interval
    share = f"{100 * line.share:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    missing = math.isnan(line.share)
    return [how, str(line.n), str(line.kept), text.NONE if missing else share, str(line.front)]


def _all_trials(run: RunData) -> Table:
    columns = (
        Column("trial", numeric=True, label=True),
        Column("state"),
        Column("origin"),
        Column("criterion", minor=True),
        Column("trained", minor=True),
        Column("% of FLOPs", numeric=True),
        Column("parameters", numeric=True, minor=True),
        Column("validation %, rung by rung"),
        Column("seconds", numeric=True, minor=True),
        Column("by coin at rung", minor=True),
        Column("reason", minor=True),
    )
    rows = [
        [
            str(r.number),
            r.state,
            r.origin,
            r.criterion,
            r.mode,
            text.number(r.flops_fraction),
            text.count(r.params),
            ", ".join(map(text.number, r.accuracy)) or text.NONE,
            f"{r.seconds:.1f}",
            ", ".join(map(str, r.explored)),
            r.reason,
        ]
        for r in run.records
    ]
    return Table(columns, rows, folded="All trials as a table")
