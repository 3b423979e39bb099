"""Accuracy against FLOPs: the front, what it has to beat, and the final trainings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from results import text
from results.data import RunData
from results.pareto import UNIT_SQUARE, finished, hypervolume, trial_front
from results.record import FinalRecord, TrialRecord
from results.report import plots
from results.report.blocks import Block, Column, Figure, Paragraph, Section, Table
from results.report.networks import networks
from results.report.origins import described, origin_of

TRIALS = (
    Column("trial", numeric=True, label=True),
    Column("origin"),
    Column("criterion", minor=True),
    Column("FLOPs", numeric=True, minor=True),
    Column("% of FLOPs", numeric=True),
    Column("parameters", numeric=True, minor=True),
    Column("validation %", numeric=True),
)


def section(run: RunData) -> Section:
    """Empty until a network was trained."""
    return Section("front", "Accuracy against FLOPs", list(_blocks(run)))


def _blocks(run: RunData) -> Iterator[Block]:
    if any(r.rung for r in run.records):
        yield from _pictures(run)
    tested = [row for row in networks(run) if row.test_accuracy]
    if any(row.role != "baseline" for row in tested):
        yield _finals(run)
    best = trial_front(run.records)
    if best:
        area = hypervolume([(r.flops_fraction, r.val_accuracy) for r in best], UNIT_SQUARE)
        yield Paragraph(
            "Hypervolume of the front, in the square of FLOPs share against accuracy: "
            f"{area:.4f} of 1.",
            "soft",
        )
    if run.finals:
        yield _by_seed(run)


def _pictures(run: RunData) -> Iterator[Block]:
    top, best = finished(run.records), trial_front(run.records)
    baselines = [r for r in top if r not in best and origin_of(run, r) != "searched"]
    shown = sorted([*best, *baselines], key=lambda r: r.flops)
    yield Figure(
        "front",
        plots.front(run),
        "All trials on the validation split, after the brief training of the search. Up and left "
        "is better; the line is the front. The table has the front, coloured, and what it has to "
        "beat; all trials are in the table under “The search”.",
        _trials(run, shown, best),
    )
    for budget, limit in _limits(run).items():
        trials = sorted(run.compared_at(budget), key=lambda r: r.flops)
        yield Figure(
            f"close-up-{run.budget_names.index(budget)}",
            plots.close_up(run, budget, limit),
            f"Close to budget {budget}: the trials that were trained to the last rung. "
            "In the table, the front among them is coloured.",
            _trials(run, trials, trial_front(trials)),
        )


def _limits(run: RunData) -> dict[str, float]:
    """The budgets under which at least two trials can be compared, as fractions."""
    full = run.provenance.full_flops
    return {
        name: limit / full
        for name, limit in run.budgets.items()
        if full and len(run.compared_at(name)) > 1
    }


def _trials(
    run: RunData, trials: Sequence[TrialRecord], marked: Sequence[TrialRecord] = ()
) -> Table:
    rows = [
        [
            str(r.number),
            described(run, r),
            r.criterion,
            text.count(r.flops),
            text.number(r.flops_fraction),
            text.count(r.params),
            text.number(r.val_accuracy),
        ]
        for r in trials
    ]
    places = frozenset(i for i, r in enumerate(trials) if r in marked)
    return Table(TRIALS, rows, places)


def _finals(run: RunData) -> Figure:
    rows = [row for row in networks(run) if row.test_accuracy]
    columns = (
        Column("", label=True),
        Column("% of FLOPs", numeric=True),
        Column("validation %, search", numeric=True),
        Column("test %, final", numeric=True),
        Column("seeds", numeric=True, minor=True),
    )
    cells = [
        [
            row.name,
            text.number(row.flops_fraction, 1),
            text.number(row.val_accuracy),
            text.mean_interval(row.test_accuracy),
            str(len(row.test_accuracy)),
        ]
        for row in rows
    ]
    marked = frozenset(i for i, row in enumerate(rows) if row.best)
    return Figure(
        "final",
        plots.final_accuracy(run),
        "The final networks: on the left the validation accuracy that the search saw, on the right "
        "the test split after the final training: a ring for each seed, the mean, and its 95 % "
        "Student-t interval, where there are several seeds and they do not all agree. It is of the "
        "training seeds, not of the choice of images; "
        "that two intervals overlap does not show that there is no difference.",
        Table(columns, cells, marked),
    )


def _by_seed(run: RunData) -> Table:
    columns = (
        Column("", label=True),
        Column("budget"),
        Column("trained", minor=True),
        Column("seed", numeric=True),
        Column("validation %", numeric=True),
        Column("test %", numeric=True),
    )
    rows = [
        [
            final.name,
            final.budget or text.NONE,
            _training(final) if final.epochs else text.NONE,
            str(seed),
            text.number(_at(final.val_accuracy, i)),
            text.number(_at(final.test_accuracy, i)),
        ]
        for final in run.finals
        for i, seed in enumerate(final.seeds)
    ]
    return Table(columns, rows, folded="The final trainings, seed by seed")


def _training(final: FinalRecord) -> str:
    epochs = text.plural(final.epochs, "epoch")
    gradual = text.plural(final.layer_epochs, "epoch")
    before = f"{gradual} layer by layer, then " if final.layer_epochs else ""
    return f"{final.mode}, {before}{epochs}"


def _at(values: Sequence[float], place: int) -> float | None:
    return values[place] if place < len(values) else None
