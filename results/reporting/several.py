"""One report that compares several runs of one network on equal FLOPs.

>>> report_several([results.load("runs/tpe"), results.load("runs/random")], "compared.html")
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from results import text
from results.compare import by_seed
from results.data import RunData
from results.differences import Paired, holm, paired
from results.metric import MetricInfo
from results.pareto import hypervolume_history, trial_front, volume_of
from results.record import FinalRecord
from results.reporting import files
from results.reporting.blocks import (
    Block,
    Bullets,
    Cells,
    Column,
    Document,
    Figure,
    Paragraph,
    Section,
    Table,
    head,
    tabulate,
)
from results.spending import times_tested
from spaces.errors import UserError

RECIPE = "the recipe"
ALIKE = {
    "the model": "settings.model",
    "its weights": "settings.weights",
    "the data": "settings.data",
    "the size of the images": "settings.image_size",
    "the number of training images": "settings.train_images",
    "the number of test {items}": "test_images",
    "the seed": "settings.seed",
    "the training": "settings.train",
    "the distillation": "settings.distillation",
    "the final epochs": "settings.final_epochs",
    "the learning rate": "settings.lr",
    "the batch size": "settings.batch_size",
    RECIPE: "recipe",
}
"""What two runs must share for their final trainings to be pairs, by its place in the provenance.

The seed of a run cuts its validation split and trains its unpruned network.
"""

METHOD = (
    "At each budget, every run's searched network with at most so many FLOPs and the best "
    "validation {metric} after its final training. ± is a 95 % Student-t interval over seeds. "
    "Differences are paired by seed; intervals cover the seeds of the final training, not the "
    "choice of the test {items}."
)
SETTINGS = {
    "task": "task",
    "model": "settings.model",
    "data": "settings.data",
    "budgets": "settings.budget",
    "sampler": "settings.sampler",
    "trials to try": "settings.trials",
    "seed": "settings.seed",
    "criterion": "settings.criterion",
    "ranked by": "settings.rank_by",
    "rungs, epochs": "settings.rungs",
    "training": "settings.train",
    "recipe": "recipe",
    "distillation": "settings.distillation",
    "final epochs": "settings.final_epochs",
    "final seeds": "settings.final_seeds",
    "FLOPs of the unpruned network": "full_flops",
    "test {items}": "test_images",
    "device": "device",
    "commit": "commit",
}
"""What the report says of each run, by its place in the provenance."""


def report_several(runs: Sequence[RunData], path: str | Path) -> Path:
    """Write one page, and its Markdown, that compares ``runs`` with the first of them.

    Runs of one architecture in different sizes, whose groups have the same names, are compared at
    equal shares of their FLOPs, and the report says so.

    Args:
        path: as in `results.report`.

    Returns:
        The path of the page.

    Raises:
        UserError: fewer than two runs; runs of different networks or metrics; or it cannot be
            written.
    """
    if len(runs) < 2:
        raise UserError(f"a comparison takes at least 2 runs, but got {len(runs)}")
    named = _named(runs)
    return files.write(document(named), files.page_path(path))


def document(named: Mapping[str, RunData]) -> Document:
    """The report of runs by name, whatever it is written as."""
    by_fraction, metric = _by_fraction(named), _metric(named)
    parts = [
        Section("summary", "What came out", list(_summary(named, by_fraction, metric))),
        Section("front", f"{metric.title} against FLOPs", list(_fronts(named, metric))),
        Section("search", "Hypervolume", list(_search(named))),
        Section("provenance", "Where this comes from", list(_origin(named))),
    ]
    title = f"Pruning searches: {', '.join(named)}"
    lead = f"{len(named)} runs at equal {'shares of their ' if by_fraction else ''}FLOPs"
    return Document(title, lead, [section for section in parts if section])


def _named(runs: Sequence[RunData]) -> dict[str, RunData]:
    """Every run by its name, or by its folder where two have one name."""
    names = [str(run.provenance.run or run.folder.name) for run in runs]
    unique = [
        name if names.count(name) == 1 else str(run.folder)
        for name, run in zip(names, runs, strict=True)
    ]
    if twice := next((name for name in unique if unique.count(name) > 1), ""):
        raise UserError(f"each run must be given once, but {twice} was given twice")
    return dict(zip(unique, runs, strict=True))


def _by_fraction(named: Mapping[str, RunData]) -> bool:
    """Whether only shares of FLOPs can be compared; refuses runs of different networks."""
    for name, run in named.items():
        if not run.provenance.groups or not run.provenance.full_flops:
            raise UserError(f"run {name} must say which network it is of, but its study does not")
    first, *rest = named
    wanted = list(named[first].provenance.channels)
    for name in rest:
        groups = list(named[name].provenance.channels)
        if groups != wanted:
            raise UserError(
                f"the runs must be of one network, but {first} has {len(wanted)} groups and "
                f"{name} has {len(groups)}, of other names; give runs of one model"
            )
    sizes = {(p.full_flops, *p.channels.values()) for p in (r.provenance for r in named.values())}
    return len(sizes) > 1


def _metric(named: Mapping[str, RunData]) -> MetricInfo:
    """What all of them are judged by; refuses runs of different metrics."""
    (first, run), *rest = named.items()
    for name, other in rest:
        if other.metric != run.metric:
            raise UserError(
                f"the runs must be judged by one metric, but {first} is judged by "
                f"{run.metric.axis()} and {name} by {other.metric.axis()}; give runs of one metric"
            )
    return run.metric


def _levels(named: Mapping[str, RunData]) -> dict[str, float]:
    """Every budget of every run, as a share of the unpruned FLOPs, the largest first."""
    shares = {
        round(limit / (run.provenance.full_size or 1), 6): budget
        for run in named.values()
        for budget, limit in run.budgets.items()
    }
    return {shares[share]: share for share in sorted(shares, reverse=True)}


@dataclass(frozen=True, slots=True)
class _Rival:
    """The network of one run at one level; ``against`` is its difference from the first run's."""

    level: str
    run: str
    final: FinalRecord | None
    against: Paired | None
    unpaired: str = ""


def _rivals(named: Mapping[str, RunData]) -> Iterator[_Rival]:
    """At every level the first run's, then the others'."""
    first, *others = named
    unpaired = {name: why_not_paired(named[first], named[name]) for name in others}
    for level, share in _levels(named).items():
        reference = best_under(named[first].finals, share)
        yield _Rival(level, first, reference, None)
        for name, why in unpaired.items():
            final, difference = best_under(named[name].finals, share), None
            if final is not None and reference is not None and not why:
                pair = by_seed(final), by_seed(reference)
                difference = paired(*pair, metric=named[first].metric)
            yield _Rival(level, name, final, difference, why)


def best_under(finals: Sequence[FinalRecord], share: float) -> FinalRecord | None:
    """The searched network with at most this share of FLOPs and the best validation score.

    Never chosen by its test score. ``None`` where there is none that was tested.
    """
    fitting = [f for f in _tested(finals) if f.flops_fraction <= share + 1e-6]
    return max(fitting, key=lambda f: _mean(f.val_accuracy), default=None)


def why_not_paired(first: RunData, second: RunData) -> str:
    """Why equal seeds of two runs are no pairs; empty where they are."""
    both = first.provenance, second.provenance
    alike = {what.format(items=first.metric.items): place for what, place in ALIKE.items()}
    pairs = {what: [attrgetter(place)(p) for p in both] for what, place in alike.items()}
    if None in pairs[RECIPE]:  # an older run does not say
        del pairs[RECIPE]
    unlike = [f"{what} ({_shown(a)} and {_shown(b)})" for what, (a, b) in pairs.items() if a != b]
    return f"they differ in {', '.join(unlike)}" if unlike else ""


def _summary(
    named: Mapping[str, RunData], by_fraction: bool, metric: MetricInfo
) -> Iterator[Block]:
    first, rivals = next(iter(named)), list(_rivals(named))
    for sentence in _sentences(rivals, first):
        yield Paragraph(sentence, "verdict")
    if by_fraction:
        yield Paragraph(
            "The networks are of one architecture but not of one size, so they are compared at "
            "equal shares of their own FLOPs, not at equal FLOPs."
        )
    if tested := [(rival, rival.final) for rival in rivals if rival.final is not None]:
        yield _rivals_table(tested, first, metric)
        yield Paragraph(METHOD.format(metric=metric.name, items=metric.items), "soft")


def _sentences(rivals: Sequence[_Rival], first: str) -> list[str]:
    """One for every level and every run but the first; p-values allow for all of them."""
    shown = [rival for rival in rivals if rival.run != first]
    adjusted = holm([r.against.p_value if r.against else math.nan for r in shown])
    m = sum(not math.isnan(p) for p in adjusted)
    rivals_and_p = zip(shown, adjusted, strict=True)
    return [f"At budget {r.level} {_clause(r, first, p, m)}." for r, p in rivals_and_p]


def _clause(rival: _Rival, first: str, adjusted: float, comparisons: int) -> str:
    if rival.unpaired:
        return f"{rival.run} and {first} are not compared by seed: {rival.unpaired}"
    if rival.against is None:
        return f"{rival.run} and {first} are not compared: not both have a tested network there"
    p = None if math.isnan(adjusted) else adjusted
    return rival.against.sentence(rival.run, first, adjusted=p, comparisons=comparisons)


def _rivals_table(
    pairs: Sequence[tuple[_Rival, FinalRecord]], first: str, metric: MetricInfo
) -> Table:
    over = f"points over {first}" if metric.percent else metric.step_head(f"minus {first}")
    cells: Cells[tuple[_Rival, FinalRecord]] = {
        Column("budget"): lambda pair: pair[0].level,
        Column("run", label=True): lambda pair: pair[0].run,
        Column("network", minor=True): lambda pair: pair[1].name,
        Column("FLOPs", numeric=True, minor=True): lambda pair: text.count(pair[1].flops),
        Column("% of FLOPs", numeric=True): lambda pair: text.number(pair[1].flops_fraction, 1),
        Column(metric.head("test"), numeric=True): lambda pair: metric.mean_interval(
            pair[1].test_accuracy
        ),
        Column("seeds", numeric=True, minor=True): lambda pair: str(len(pair[1].test_accuracy)),
        Column(over, numeric=True): lambda pair: (
            pair[0].against.figure if pair[0].against else text.NONE
        ),
    }
    return tabulate(pairs, cells)


def _fronts(named: Mapping[str, RunData], metric: MetricInfo) -> Iterator[Figure]:
    # Imported late: matplotlib takes a second.
    from results.reporting.plots import several

    fronts = {name: trial_front(run.records) for name, run in named.items()}
    if fronts := {name: front for name, front in fronts.items() if front}:
        caption = "The fronts on the validation split, after the brief training of the search."
        rows = [
            [name, str(r.number), text.number(r.flops_fraction), metric.number(r.val_accuracy)]
            for name, front in fronts.items()
            for r in front
        ]
        table = Table(head("run", "trial", "% of FLOPs", metric.head("validation")), rows)
        yield Figure("fronts", several.fronts(fronts, metric), caption + _care(named), table)
    tested = {name: _tested(run.finals) for name, run in named.items()}
    if tested := {name: finals for name, finals in tested.items() if finals}:
        caption = (
            "The searched networks on the test split, after their final training: mean and 95 % "
            "Student-t interval over seeds; no bar where one seed gives none."
        )
        rows = [
            [name, f.name, text.number(f.flops_fraction), metric.mean_interval(f.test_accuracy)]
            for name, finals in tested.items()
            for f in finals
        ]
        table = Table(head("run", "network", "% of FLOPs", metric.head("test")), rows)
        yield Figure("tested", several.finals(tested, metric), caption, table)


def _tested(finals: Sequence[FinalRecord]) -> list[FinalRecord]:
    return [f for f in finals if f.role == "searched" and f.test_accuracy]


def _care(named: Mapping[str, RunData]) -> str:
    """A warning where results of the search are not after the same training."""
    settings = (run.provenance.settings for run in named.values())
    trainings = {(s.rungs, s.train, s.distillation, s.data) for s in settings}
    unlike = " The runs trained differently, so heights do not compare."
    return unlike if len(trainings) > 1 else ""


def _search(named: Mapping[str, RunData]) -> Iterator[Block]:
    if not _metric(named).is_share:
        return
    from results.reporting.plots import several

    histories = {name: hypervolume_history(run.records) for name, run in named.items()}
    histories = {name: history for name, history in histories.items() if any(history)}
    if not histories:
        return
    fronts = {name: trial_front(run.records) for name, run in named.items()}
    rows = [
        [name, str(len(front)), f"{volume_of(front):.4f}", str(len(named[name].records))]
        for name, front in fronts.items()
    ]
    yield Table(head("run", "trials on the front", "hypervolume", "trials"), rows)
    ends = sorted({len(history) for history in histories.values()})
    steps = sorted({max(1, round(ends[-1] * i / 10)) for i in range(1, 11)} | set(ends))
    drawn = [
        [str(n), *(f"{h[n - 1]:.4f}" if n <= len(h) else text.NONE for h in histories.values())]
        for n in steps
    ]
    titles = [Column("trials", numeric=True), *(Column(name, numeric=True) for name in histories)]
    caption = (
        "Hypervolume of each run's front against the trials that had ended: the share of the "
        f"square of FLOPs share and {_metric(named).name}, up to the unpruned network's FLOPs and "
        f"{'no image right' if _metric(named).counts_images else '0 %'}."
    )
    table = Table(titles, drawn)
    yield Figure("volumes", several.volumes(histories), caption + _care(named), table)


def _origin(named: Mapping[str, RunData]) -> Iterator[Block]:
    """The settings of the runs; those without a value in any run are left out."""
    runs = named.values()
    items = _metric(named).items
    rows = [
        [title.format(items=items), *(_shown(attrgetter(place)(r.provenance)) for r in runs)]
        for title, place in SETTINGS.items()
    ]
    rows.append(["trials", *(str(len(run.records)) for run in named.values())])
    rows.append(["reads of the test split", *(_reads(run) for run in named.values())])
    rows = [row for row in rows if set(row[1:]) != {text.NONE}]
    yield Table([Column("", label=True), *(Column(name) for name in named)], rows)
    if notes := [f"{name}: {n}" for name, run in named.items() for n in run.provenance.checks]:
        yield Bullets(notes)


def _reads(run: RunData) -> str:
    reads = sum(times_tested(run))
    return text.NONE if not reads and run.provenance.test_reads is None else str(reads)


def _shown(value: Any) -> str:
    if value in (None, "", ()):
        return text.NONE
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if not math.isnan(value)]
    return statistics.fmean(finite) if finite else -math.inf
