"""The networks that compete, as the report and the terminal both show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from results import text
from results.data import RunData
from results.metric import MetricInfo
from results.provenance import Baseline
from results.record import Candidate, FinalRecord, Role, TrialRecord
from results.reporting.blocks import Cells, Column
from results.speed import NetworkSpeed, items
from spaces import Budget
from spaces.budget import COSTS, FLOPS, LATENCY, CostKind


@dataclass(frozen=True, slots=True)
class Row:
    """One network of the summary table.

    ``val_accuracy`` is what the search saw after brief training; ``test_accuracy`` has one value
    a seed of the longer final training and is empty until that is done. ``about`` is what its name
    has in brackets: where its policy came from, and its criterion where several were searched.
    """

    name: str
    role: Role
    flops: int | None
    flops_fraction: float | None
    params: int | None
    val_accuracy: float | None
    test_accuracy: tuple[float, ...]
    best: bool = False
    budget: str | None = None
    speeds: tuple[NetworkSpeed, ...] = ()
    about: tuple[str, ...] = ()

    def speed(self, batch: int) -> NetworkSpeed | None:
        """Its time with batches of that size, where it was measured."""
        return next((speed for speed in self.speeds if speed.batch == batch), None)


def networks(run: RunData) -> list[Row]:
    """Baseline; then for each budget uniform widths and the searched front by rising flops."""
    rows = _baseline_rows(run)
    shown: set[Candidate | None] = set()
    for budget in [*run.budget_names, None]:
        for what, role in _rivals(run, budget):
            if what.candidate not in shown:
                rows.append(_row(run, what, role, budget))
                shown.add(what.candidate)
    return rows


def _rivals(run: RunData, budget: str | None) -> Iterator[tuple[FinalRecord | TrialRecord, Role]]:
    if uniform := run.uniform_at(budget):
        yield uniform, "uniform"
    finals = [f for f in run.finals if f.role == "searched" and f.budget == budget]
    searched: list[FinalRecord | TrialRecord] = [*finals, *run.front_at(budget)]
    for what in sorted(searched, key=lambda what: what.flops):
        yield what, "searched"


def _baseline_rows(run: RunData) -> list[Row]:
    final = next((f for f in run.finals if f.role == "baseline"), None)
    known = run.provenance.baseline or Baseline()
    if final is None and run.provenance.baseline is None:
        return []
    earlier = () if known.test_accuracy is None else (known.test_accuracy,)
    test, size = (final and final.test_accuracy) or earlier, final or known
    return [
        Row(
            name="baseline",
            role="baseline",
            flops=size.flops,
            flops_fraction=1.0,
            params=size.params,
            val_accuracy=known.val_accuracy,
            test_accuracy=test,
            speeds=_speeds(run, "baseline"),
        )
    ]


def _row(run: RunData, what: FinalRecord | TrialRecord, role: Role, budget: str | None) -> Row:
    trial, best = run.seen(what.candidate), run.best_final(budget)
    return Row(
        name=_name(run, what, role, budget),
        about=_about(run, what, role),
        role=role,
        flops=what.flops,
        flops_fraction=what.flops_fraction,
        params=what.params,
        val_accuracy=trial.val_accuracy if trial else None,
        test_accuracy=what.test_accuracy if isinstance(what, FinalRecord) else (),
        best=best is not None and best.candidate == what.candidate,
        budget=budget,
        speeds=_speeds(run, what.name) if isinstance(what, FinalRecord) else (),
    )


def _speeds(run: RunData, name: str) -> tuple[NetworkSpeed, ...]:
    return tuple(speed for speed in run.timed if speed.name == name)


def without_gain(rows: Sequence[Row], metric: MetricInfo) -> Iterator[str]:
    """A sentence for each batch size with which networks of fewer FLOPs take no less time."""
    baseline = next((row for row in rows if row.role == "baseline"), None)
    for before in baseline.speeds if baseline else ():
        slow = [
            row.name
            for row in rows
            if row.flops and baseline and baseline.flops and row.flops < baseline.flops
            if (own := row.speed(before.batch)) and not own.saves(before)
        ]
        if slow:
            yield (
                f"Fewer FLOPs, but as measured here no less time for "
                f"{items(before.batch, metric.items)}: {text.listed(slow)}."
            )


def over_time(rows: Sequence[Row], run: RunData) -> Iterator[str]:
    """A sentence where networks take longer, as measured in the end, than what limits their time
    allows: what was predicted is kept by all of them."""
    for limit, allowed in {**run.budgets, **run.provenance.limits}.items():
        if Budget.parse(limit).cost != LATENCY:
            continue
        slow = [
            f"{row.name}: {own.milliseconds}"
            for row in rows
            if row.role != "baseline" and (row.budget == limit or limit not in run.budgets)
            if (own := row.speed(run.space.latency.batch)) and 1e9 * own.low > allowed
        ]
        if slow:
            yield (
                f"By the tables every network keeps {limit}, at most "
                f"{text.amount(allowed, COSTS[LATENCY])}; as measured in the end, in ms, these "
                f"take longer: {text.listed(slow)}."
            )


def spent(kind: CostKind) -> Cells[TrialRecord]:
    """The column of what trials take of what budgets limit, where that is not FLOPs."""
    if kind == COSTS[FLOPS]:
        return {}
    title = f"{kind.title}, predicted" if kind == COSTS[LATENCY] else kind.title
    return {Column(title, numeric=True): lambda r: text.amount(r.spent, kind)}


def _name(run: RunData, what: FinalRecord | TrialRecord, role: Role, budget: str | None) -> str:
    if role == "uniform":
        name = f"uniform at {budget}" if budget else "uniform"
    else:
        trial = run.seen(what.candidate)
        name = f"trial {trial.number}" if trial else what_name(what)
    about = _about(run, what, role)
    return f"{name} ({', '.join(about)})" if about else name


def _about(run: RunData, what: FinalRecord | TrialRecord, role: Role) -> tuple[str, ...]:
    varies = len(run.criteria) > 1
    if role == "uniform":
        return (what.criterion,) if varies else ()
    if (trial := run.seen(what.candidate)) is None:
        return ()
    return tuple(dict.fromkeys((trial.origin, trial.criterion) if varies else (trial.origin,)))


def what_name(what: FinalRecord | TrialRecord) -> str:
    """``trial 12`` or the final's own name."""
    return what.name if isinstance(what, FinalRecord) else f"trial {what.number}"
