"""What it cost, and what the proxies and rungs saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from results import text
from results.data import RunData
from results.reporting.blocks import Block, Figure, Paragraph, Table, head
from results.reporting.plots.spending import Bar, spending
from results.spending import Spent, at_the_top_alone, saved, spent, trained_flops
from results.training import (
    BASELINES,
    COMPARISON,
    FINALS,
    GAINS,
    RATES,
    REPEATS,
    SPARSE,
    SWEEP,
)

PARTS = {
    RATES: "sweep of learning rates",
    REPEATS: "trainings repeated, for the noise",
    FINALS: "final trainings",
    GAINS: "where the gain comes from",
    BASELINES: "other ways to compress",
    SPARSE: "sparse training, of slimming",
    SWEEP: "sweep of learning rates, to compare",
    COMPARISON: "comparison",
}
"""What trainings are made for → how a reader would call it."""


def blocks(run: RunData) -> Iterator[Block]:
    """Nothing until something was measured."""
    lines = spent(run)
    if not lines:
        return
    spared = saved(run)
    if panels := list(_panels(lines, spared)):
        yield Figure(
            "spending",
            spending([_named(line) for line in (*lines, *spared)], panels),
            "What the parts of the run took, and what the trials that were stopped did not have "
            "to go through.",
        )
    yield _table(lines, spared)
    yield Paragraph(
        "Training FLOPs are multiply-adds: a step is three forward passes, over all "
        f"{run.metric.items} and "
        "epochs. Seconds are summed over all workers. A dash is what was not recorded: "
        "FLOPs of proxies, or seconds of final trainings of older runs. Saved seconds are saved "
        "FLOPs at the measured pace of the same rung.",
        "soft",
    )
    if _distils(run):
        yield Paragraph(
            "A step of a distilled training has one forward pass of the unpruned network more; it "
            "is in what was spent and in what was saved.",
            "soft",
        )
    if any(line.what == "sparse training" for line in lines):
        yield Paragraph("Slimming finds its widths by the sparse training.", "soft")
    yield from _worth(run, lines, spared)


def _distils(run: RunData) -> bool:
    """Whether any training was distilled from the unpruned network."""
    settings, records = run.provenance.settings, run.training_records
    return settings.distill or any(record.spec.distill for record in records)


def _panels(
    lines: Sequence[Spent], spared: Sequence[Spent]
) -> Iterator[tuple[str, list[tuple[str, Bar]]]]:
    """FLOPs and seconds that were spent, each with a bar of these and one of what was saved."""
    for unit, what in (("training FLOPs (multiply-adds)", "flops"), ("seconds", "seconds")):
        bars = (("spent", _bar(lines, what)), ("saved", _bar(spared, what)))
        if bars[0][1]:
            yield unit, [(title, bar) for title, bar in bars if bar]


def _named(line: Spent) -> str:
    return PARTS.get(line.what, line.what)


def _bar(lines: Sequence[Spent], what: str) -> Bar:
    return [(_named(line), float(getattr(line, what))) for line in lines if getattr(line, what)]


def _table(lines: Sequence[Spent], spared: Sequence[Spent]) -> Table:
    rows = [
        [_named(line), str(line.trainings), text.count(line.flops), _seconds(line.seconds)]
        for line in lines
    ]
    rows += [
        [
            f"saved: {line.what}",
            str(line.trainings),
            f"{text.MINUS}{text.count(line.flops)}",
            text.NONE if line.seconds is None else f"{text.MINUS}{_seconds(line.seconds)}",
        ]
        for line in spared
    ]
    return Table(head("part", "networks", "training FLOPs", "seconds"), rows)


def _seconds(seconds: float | None) -> str:
    return text.NONE if seconds is None else f"{seconds:.1f}"


def _worth(run: RunData, lines: Sequence[Spent], spared: Sequence[Spent]) -> Iterator[Paragraph]:
    """Sentences on what stopping was worth, as far as the figures reach."""
    by_name = {line.what: line for line in (*lines, *spared)}
    proxies, at_0 = by_name.get("proxies"), by_name.get("stopped by proxies")
    if at_0 and proxies and at_0.seconds is not None and proxies.seconds is not None:
        net = at_0.seconds - proxies.seconds
        verb = "saved" if net > 0 else "cost"
        yield Paragraph(
            f"The proxies took {text.duration(proxies.seconds)} and stopped {at_0.trainings} of "
            f"{proxies.trainings} policies before any training, which would have taken "
            f"{text.duration(at_0.seconds)}: net, they {verb} {text.duration(abs(net))}."
        )
    alone, trained = at_the_top_alone(run), trained_flops(run)
    if alone and trained is not None:
        share = 100 * abs(alone - trained) / alone
        yield Paragraph(
            "Without proxies and rungs, every policy would have been trained for the epochs of "
            f"the top rung at once: {text.count(alone)} training FLOPs. The rungs took "
            f"{text.count(trained)}, {share:.0f} % {'less' if trained <= alone else 'more'}."
        )
