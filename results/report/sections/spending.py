"""What it cost, and what the proxies and rungs saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from results import text
from results.data import RunData
from results.report import plots
from results.report.blocks import Block, Column, Figure, Paragraph, Section, Table
from results.spending import Saved, Spent, at_the_top_alone, saved, spent, trained_flops

COLUMNS = (
    Column("part", label=True),
    Column("networks", numeric=True),
    Column("training FLOPs", numeric=True),
    Column("seconds", numeric=True),
)


def section(run: RunData) -> Section:
    """Empty until something was measured."""
    return Section("spending", "What it cost", list(_blocks(run)))


def _blocks(run: RunData) -> Iterator[Block]:
    lines = spent(run)
    if not lines:
        return
    spared = saved(run)
    panels = _panels(lines, spared)
    table = _table(lines, spared)
    if panels:
        yield Figure(
            "spending",
            plots.spending([*(line.what for line in lines), *map(_stopped, spared)], panels),
            "What the parts of the run took, and what the trials that were stopped did not have "
            "to go through.",
            None,
        )
    yield table
    yield Paragraph(
        "Training FLOPs are multiply-adds: a step is three forward passes, over all images and "
        "epochs. Seconds are summed over all workers. A dash is what was not "
        "recorded: the proxies' FLOPs, the finals' seconds of older runs. Saved seconds are saved "
        "FLOPs at the measured pace of the same rung.",
        "soft",
    )
    if any(line.what == "sparse training" for line in lines):
        yield Paragraph("The sparse training is slimming's search for its widths.", "soft")
    yield from _worth(run, lines, spared)


def _panels(
    lines: Sequence[Spent], spared: Sequence[Saved]
) -> list[tuple[str, list[tuple[str, list[tuple[str, float]]]]]]:
    """FLOPs and seconds, each with a bar of what was spent and one of what was saved."""
    flops = [(line.what, float(line.flops)) for line in lines if line.flops]
    seconds = [(line.what, line.seconds) for line in lines if line.seconds]
    less_flops = [(_stopped(s), float(s.flops)) for s in spared]
    less_seconds = [(_stopped(s), s.seconds) for s in spared if s.seconds]
    panels = []
    for unit, bar, less in (
        ("training FLOPs (multiply-adds)", flops, less_flops),
        ("seconds", seconds, less_seconds),
    ):
        if bar:
            panels.append((unit, [("spent", bar), ("saved", less)] if less else [("spent", bar)]))
    return panels


def _stopped(line: Saved) -> str:
    return "stopped by proxies" if line.rung == 0 else f"stopped at rung {line.rung}"


def _table(lines: Sequence[Spent], spared: Sequence[Saved]) -> Table:
    rows = [
        [line.what, str(line.trainings), text.count(line.flops), _seconds(line.seconds)]
        for line in lines
    ]
    rows += [
        [
            f"saved: {_stopped(line)}",
            str(line.trials),
            f"{text.MINUS}{text.count(line.flops)}",
            text.NONE if line.seconds is None else f"{text.MINUS}{_seconds(line.seconds)}",
        ]
        for line in spared
    ]
    return Table(COLUMNS, rows)


def _seconds(seconds: float | None) -> str:
    return text.NONE if seconds is None else f"{seconds:.1f}"


def _worth(run: RunData, lines: Sequence[Spent], spared: Sequence[Saved]) -> Iterator[Paragraph]:
    """Sentences on what stopping was worth, as far as the figures reach."""
    proxies = next((line.seconds for line in lines if line.what == "proxies"), None)
    at_0 = next((line for line in spared if line.rung == 0), None)
    if at_0 is not None and at_0.seconds is not None and proxies is not None:
        net = at_0.seconds - proxies
        verb = "saved" if net > 0 else "cost"
        yield Paragraph(
            f"The proxies took {text.duration(proxies)} and stopped "
            f"{at_0.trials} of {_judged(lines)} policies before any training, "
            f"which would have taken {text.duration(at_0.seconds)}: net, they {verb} "
            f"{text.duration(abs(net))}."
        )
    alone = at_the_top_alone(run)
    trained = trained_flops(run)
    if alone and trained is not None:
        share = 100 * abs(alone - trained) / alone
        yield Paragraph(
            "Without proxies and rungs, every policy would have been trained for the epochs of "
            f"the top rung at once: {text.count(alone)} training FLOPs. The rungs took "
            f"{text.count(trained)}, {share:.0f} % {'less' if trained <= alone else 'more'}."
        )


def _judged(lines: Sequence[Spent]) -> int:
    """How many networks the proxies scored."""
    return next(line.trainings for line in lines if line.what == "proxies")
