"""What commands end with, for an 80-column terminal.

>>> rich.console.Console().print(terminal_table(run))
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from results import text
from results.arms import ARMS
from results.board import means
from results.by_class import warnings
from results.compare import verdicts
from results.comparison import Comparison
from results.contrasts import verdict
from results.data import RunData
from results.decision import decisions, loading
from results.doubts import doubts
from results.gains import by_budget
from results.metric import ACCURACY, MetricInfo
from results.reporting.networks import Row, networks
from results.solving import SENSITIVITY, Solved
from spaces import Budget
from spaces.budget import COSTS, FLOPS

MOST_ROWS = 24
WIDEST_HEAD = 16
"""Letters of a head that names a metric; a longer one takes several lines."""


def terminal_decision(run: RunData) -> RenderableType:
    """What to decide, before everything else: the networks to ship, what they lose and take, and
    why they may be worth nothing."""
    parts: list[RenderableType] = [Text(f"warning: {doubt}") for doubt in doubts(run)]
    uneven = warnings(run)
    for decision in decisions(run):
        table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
        table.add_column("", no_wrap=True)
        for title in ("unpruned", decision.final.name, "% left"):
            table.add_column(title, justify="right", no_wrap=True)
        for row in decision.facts:
            table.add_row(*row)
        lines = loading(run, decision)
        load = ["", "load it:", *(f"  {line}" for line in lines)] if lines else []
        sentences = [Text(decision.sentence, style="bold"), Text(decision.certainty, style="dim")]
        if warning := uneven.get(str(decision.final.budget)):
            sentences.append(Text(warning))
        parts += [*sentences, Text(), table, *map(Text, load), Text()]
    return Group(*parts)


def terminal_table(run: RunData) -> RenderableType:
    """Baseline, uniform widths and the searched front of every budget, the verdicts, the gains.

    Long fronts are cut; ``pareto.csv`` has them all.
    """
    shown = networks(run)
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("", overflow="ellipsis", no_wrap=True, max_width=26)
    tested, metric = any(row.test_accuracy for row in shown), run.metric
    reached = f"{metric.head('test')} (seeds)" if tested else f"{metric.head('val')}, so far"
    for title in ("FLOPs", "FLOPs %", "params", _head(reached, metric)):
        table.add_column(title, justify="right", no_wrap=True)
    for row in shown[:MOST_ROWS]:
        cells = (
            row.name,
            text.count(row.flops),
            text.number(row.flops_fraction, 1),
            text.count(row.params),
            _tested(row, metric) if tested else metric.number(row.val_accuracy),
        )
        table.add_row(*map(Text, cells), style="bold" if row.best else "")
    more = len(shown) - MOST_ROWS
    notes = [f"... and {more} more in pareto.csv"] if more > 0 else []
    if line := text.not_counted(run.provenance.uncounted):
        notes.append(text.sentence(line))
    notes += _explained(run.provenance.names, shown[:MOST_ROWS])
    sentences = (v.sentence for v in verdicts(run.finals, run.budgets, metric))
    return Group(table, *map(Text, notes), Text(), *map(Text, sentences), *_gains(run))


def _explained(names: Mapping[str, str], shown: Iterable[Row]) -> Iterator[str]:
    """What stands in brackets behind the trials, a line on each."""
    for about in dict.fromkeys(about for row in shown for about in row.about):
        if about in names:
            yield f"{about}: {names[about]}"


def _head(title: str, metric: MetricInfo) -> str:
    """A column's head, for a long name in lines that leave room for the other columns."""
    return title if metric.counts_images else textwrap.fill(title, WIDEST_HEAD)


def _tested(row: Row, metric: MetricInfo) -> str:
    """What it reached on the test split, its 95 % interval over seeds, and how many these are."""
    seeds = len(row.test_accuracy)
    return metric.mean_interval(row.test_accuracy) + (f" ({seeds})" if seeds else "")


def _gains(run: RunData) -> Iterator[Text | Table]:
    """Every step from plain uniform widths to the searched network, with its gain."""
    metric = run.metric
    budgets = by_budget(run.gain_steps, metric)
    if not budgets:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("where the gain comes from", no_wrap=True, overflow="ellipsis", max_width=36)
    gained = "gain" if metric.higher_is_better else "change"
    titles = metric.head("test"), f"{gained}, 95 % interval (seeds)", "FLOPs %"
    for title in (_head(each, metric) for each in titles):
        table.add_column(title, justify="right", no_wrap=True)
    for budget, own in budgets.items():
        for gain in own:
            at = f" at {budget}" if len(budgets) > 1 else ""
            seeds = f" ({gain.paired.n})" if gain.before and not gain.same else ""
            cells = (
                f"{gain.of.step}{at}",
                metric.number(gain.of.mean),
                f"{gain.figure}{seeds}",
                text.number(gain.of.flops_fraction, 1),
            )
            table.add_row(*map(Text, cells), style="bold" if gain.shown else "")
    yield Text()
    yield table


def terminal_comparison(comparison: Comparison, metric: MetricInfo = ACCURACY) -> RenderableType:
    """Every structure in every arm, what it cost, and then what can be said, with its notes."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for title in ("budget", "widths", "trained"):
        table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=18)
    reached = _head(f"{metric.head('test')} (seeds)", metric)
    for title in ("epochs", reached, "FLOPs", "cost"):
        table.add_column(title, justify="right", no_wrap=True)
    before = ("", "")
    for mean in means(comparison):
        training, place = mean.first, (mean.first.budget, mean.first.structure)
        named = ("", "") if place == before else place
        before = place
        tested = f"{metric.mean_interval(mean.accuracy)} ({len(mean.accuracy)})"
        cost = text.count(training.total_flops), text.multiple(mean.total_relative)
        cells = (*named, training.arm, training.epochs, tested, *cost)
        table.add_row(*(Text(str(cell)) for cell in cells))
    costs = "FLOPs of all training, that of inherited weights included; cost: the same in\n"
    costs += "trainings of the unpruned network. The search is in neither.\n"
    costs += f"{text.PLUS_MINUS} is a 95 % interval over the seeds."
    notes = [Text(text.sentence(note), style="dim") for note in comparison.cautions]
    arms = dict.fromkeys(mean.first.arm for mean in means(comparison))
    known = [arm for arm in arms if arm in ARMS]  # others are of a newer version
    meanings = (Text(f"{arm}: {ARMS[arm].meaning}", style="dim") for arm in known)
    said = [*map(Text, verdict(comparison, metric)), *notes]
    if comparison.not_compared:
        said += [Text(), Text(f"{comparison.not_compared}.")]
    return Group(table, *meanings, Text(costs, style="dim"), Text(), *said)


def terminal_solved(run: RunData, solved: Sequence[Solved]) -> RenderableType:
    """Of several budgets a table with a row for each; then, of each, its figures and widths."""
    parts: list[RenderableType] = [_compared(solved), Text()] if len(solved) > 1 else []
    for each in solved:
        parts += [*map(Text, _figures(each)), _kept(run, each), Text()]
    note = (
        f"Damage is what a cut costs: how far the outputs move once the weights that stay make up "
        f"for it as well as they can ({SENSITIVITY}), each group cut alone, added up."
    )
    if run.space.limits:
        note += f" The run's limits are kept too: {text.listed(run.space.limits)}."
    return Group(*parts, Text(note, style="dim"))


def _compared(solved: Sequence[Solved]) -> Table:
    titles = ("FLOPs", "FLOPs %", "params", "params %", "damage", "of uniform", "proven")
    table = _plain("budget", titles)
    for each in solved:
        table.add_row(
            each.budget,
            text.count(each.flops),
            text.number(each.flops_fraction, 1),
            text.count(each.params),
            text.number(each.params_fraction, 1),
            text.figure(each.damage),
            text.figure(each.uniform_damage),
            text.within(each.gap),
        )
    return table


def _figures(solved: Solved) -> Iterator[str]:
    kind = COSTS[Budget.parse(solved.budget).cost]
    most = f"at most {text.amount(solved.limit, kind)}; {solved.flops:,}"
    if kind == COSTS[FLOPS]:
        most = f"{solved.flops:,} of at most {solved.limit:,}"
    yield (
        f"Budget {solved.budget}: {most} FLOPs "
        f"({text.number(solved.flops_fraction, 1)} %), {solved.params:,} parameters "
        f"({text.number(solved.params_fraction, 1)} %)."
    )
    proof = "proven to be the least"
    if solved.gap == math.inf:
        proof = "how far from the least is not proven"
    elif not solved.proven:
        proof = f"proven to be {text.within(solved.gap)} of the least"
    yield (
        f"Damage {text.figure(solved.damage)}, {proof}; of uniform widths "
        f"{text.figure(solved.uniform_damage)}."
    )


def _kept(run: RunData, solved: Solved) -> Table:
    table = _plain("group", ("channels", "kept", "kept %"))
    for group in run.space.groups:
        kept = solved.policy[group.name]
        share = text.number(kept / group.channels, 1)
        table.add_row(Text(group.name), str(group.channels), str(kept), share)
    return table


def _plain(first: str, numbers: Sequence[str]) -> Table:
    """Columns of numbers after names, which are never cut short."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column(first, overflow="fold")
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    return table
