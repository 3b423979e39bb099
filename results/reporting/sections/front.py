"""Accuracy against FLOPs: the front, what it has to beat, and the final trainings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from results import text
from results.data import RunData
from results.metric import MetricInfo
from results.pareto import finished, trial_front, volume_of
from results.record import FinalRecord, TrialRecord
from results.reporting.blocks import Block, Cells, Column, Figure, Paragraph, Table, tabulate
from results.reporting.networks import Row, networks, spent
from results.reporting.origins import described, origin_of
from results.reporting.plots.front import close_up, final_accuracy, front


def blocks(run: RunData) -> Iterator[Block]:
    """Nothing until a network was trained."""
    if any(r.rung for r in run.records):
        near = list(_close_ups(run))
        # All trials of one budget lie close together: the picture of all has them in one corner.
        yield from (*near, _overview(run)) if len(run.budgets) == 1 else (_overview(run), *near)
    tested = [row for row in networks(run) if row.test_accuracy]
    if any(row.role != "baseline" for row in tested):
        yield _finals(run, tested)
    best = trial_front(run.records)
    if best and run.metric.is_share:
        yield Paragraph(
            "Hypervolume of the Pareto front, of the share of FLOPs and the "
            f"{run.metric.name}, both from 0 to 1: {volume_of(best):.4f}.",
            "soft",
        )
    if run.finals:
        yield _by_seed(run)


def _overview(run: RunData) -> Figure:
    top, best = finished(run.records), trial_front(run.records)
    baselines = [r for r in top if r not in best and origin_of(run, r) != "searched"]
    shown = sorted([*best, *baselines], key=lambda r: r.size)
    return Figure(
        "front",
        front(run),
        "All trials on the validation split, after the brief training of the search. "
        f"{'Up' if run.metric.higher_is_better else 'Down'} and left is better; the line "
        "is the Pareto front. The table has it, coloured, and what it has to "
        "beat; all trials are in the table under “The search”.",
        _trials(run, shown, best),
    )


def _close_ups(run: RunData) -> Iterator[Figure]:
    full = run.provenance.full_size
    for budget, limit in run.budgets.items():
        trials = sorted(run.compared_at(budget), key=lambda r: r.size)
        if full and len(trials) > 1:
            yield Figure(
                f"close-up-{run.budget_names.index(budget)}",
                close_up(run, budget, limit / full),
                f"Close to budget {budget}: the trials that were trained to the last rung. "
                "In the table, the Pareto front among them is coloured.",
                _trials(run, trials, trial_front(trials)),
            )


def _trials(run: RunData, trials: Sequence[TrialRecord], marked: Sequence[TrialRecord]) -> Table:
    cells: Cells[TrialRecord] = {
        Column("trial", numeric=True, label=True): lambda r: str(r.number),
        Column("origin"): lambda r: described(run, r),
        Column("criterion", minor=True): lambda r: r.criterion,
        Column("FLOPs", numeric=True, minor=True): lambda r: text.count(r.flops),
        Column("% of FLOPs", numeric=True): lambda r: text.number(r.flops_fraction),
        **spent(run.kind),
        Column("parameters", numeric=True, minor=True): lambda r: text.count(r.params),
        Column(run.metric.head("validation"), numeric=True): lambda r: run.metric.number(
            r.val_accuracy
        ),
    }
    return tabulate(trials, cells, marked=lambda r: r in marked)


def _finals(run: RunData, tested: Sequence[Row]) -> Figure:
    return Figure(
        "final",
        final_accuracy(run),
        f"The final networks: on the left the validation {run.metric.name} that the search saw, on "
        "the right the test split after the final training: a ring for each seed, the mean, and "
        "its 95 % Student-t interval, where there are several seeds and they do not all agree. It "
        f"is of the training seeds, not of the choice of {run.metric.items}; that two "
        "intervals overlap does not show that there is no difference.",
        tabulate(tested, _cells(run.metric), marked=lambda row: row.best),
    )


def _cells(metric: MetricInfo) -> Cells[Row]:
    before, after = metric.head("validation"), metric.head("test")
    return {
        Column("", label=True): lambda row: row.name,
        Column("% of FLOPs", numeric=True): lambda row: text.number(row.flops_fraction, 1),
        Column(f"{before}, search", numeric=True): lambda row: metric.number(row.val_accuracy),
        Column(f"{after}, final", numeric=True): lambda row: metric.mean_interval(
            row.test_accuracy
        ),
        Column("seeds", numeric=True, minor=True): lambda row: str(len(row.test_accuracy)),
    }


def _by_seed(run: RunData) -> Table:
    pairs = ((final, i) for final in run.finals for i in range(len(final.seeds)))
    metric = run.metric

    def shown(scores: Sequence[float], place: int) -> str:
        return metric.number(scores[place] if place < len(scores) else None)

    cells: Cells[tuple[FinalRecord, int]] = {
        Column("", label=True): lambda pair: pair[0].name,
        Column("budget"): lambda pair: pair[0].budget or text.NONE,
        Column("trained", minor=True): lambda pair: _training(pair[0]),
        Column("seed", numeric=True): lambda pair: str(pair[0].seeds[pair[1]]),
        Column(metric.head("validation"), numeric=True): lambda pair: shown(
            pair[0].val_accuracy, pair[1]
        ),
        Column(metric.head("test"), numeric=True): lambda pair: shown(
            pair[0].test_accuracy, pair[1]
        ),
    }
    return tabulate(pairs, cells, folded="The final trainings, seed by seed")


def _training(final: FinalRecord) -> str:
    if not final.epochs:
        return text.NONE
    gradual = text.plural(final.layer_epochs, "epoch")
    before = f"{gradual} layer by layer, then " if final.layer_epochs else ""
    return f"{final.mode}, {before}{text.plural(final.epochs, 'epoch')}"
