"""Where this comes from: what was checked, and what it takes to make the run again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from results import text
from results.data import RunData
from results.metric import MetricInfo
from results.provenance import Provenance
from results.reporting.blocks import Block, Bullets, Column, Paragraph, Table
from results.spending import times_tested


def blocks(run: RunData) -> Iterator[Block]:
    """Checks, the facts of the run, and its configuration and versions folded."""
    given = run.provenance
    if given.checks:
        yield Bullets(given.checks)
    yield from _pairs(("", ""), _facts(run))
    if given.command:
        yield Paragraph(f"To make it again: {given.command}", "soft")
    yield from _pairs(("setting", "value"), _flat(given.config), "Configuration")
    options = _flat(run.compared.options)
    yield from _pairs(("setting", "value"), options, "Configuration of the comparison")
    yield from _pairs(("package", "version"), given.versions.items(), "Versions")


def _facts(run: RunData) -> Iterator[tuple[str, str]]:
    """What fits on one line each."""
    given = run.provenance
    full, seconds, epochs = given.full_flops, given.seconds, given.base_epochs
    facts = {
        "task": given.task,
        "commit": given.commit,
        "device": given.device,
        "started": given.started,
        "time of the search": None if seconds is None else text.duration(seconds),
        "FLOPs of the unpruned network": None if full is None else f"{full:,}",
        "metric": _metric(given.metric),
        given.metric.items: _items(given),
        "training of the unpruned network": None if epochs is None else _epochs(epochs),
        "training of pruned networks": given.recipe,
        "distillation": _distillation(given),
        "seeds": _seeds(run),
        "reads of the test split": _reads(run),
    }
    return ((name, str(value)) for name, value in facts.items() if value not in (None, ""))


def _epochs(epochs: float) -> str:
    return text.plural(round(epochs, 2) if epochs % 1 else int(epochs), "epoch")


def _distillation(given: Provenance) -> str | None:
    how = given.settings.distillation
    return how and f"pruned networks were trained with distillation from the unpruned one ({how})"


def _metric(metric: MetricInfo) -> str:
    """What networks were judged by, where it is not accuracy: ``perplexity, lower is better``."""
    if metric.counts_images:
        return ""
    return f"{metric.axis()}; {'higher' if metric.higher_is_better else 'lower'} is better"


def _items(given: Provenance) -> str:
    """``50,000 to train, 5,000 to validate, 10,000 to test``."""
    numbers = (given.train_images, given.val_images, given.test_images)
    aims = dict(zip(("train", "validate", "test"), numbers, strict=True))
    return ", ".join(f"{n:,} to {aim}" for aim, n in aims.items() if n is not None)


def _seeds(run: RunData) -> str:
    """The seeds of the final trainings and of the comparison; the trials' stand in their table."""
    seeds = {seed for final in run.finals for seed in final.seeds}
    seeds |= {record.seed for record in run.compared.arms}
    return ", ".join(map(str, sorted(seeds)))


def _reads(run: RunData) -> str | None:
    """How often a trained network was tested, and by whom."""
    search, compared = times_tested(run)
    if not search and run.provenance.test_reads is None:
        return f"{compared:,} by the comparison" if compared else None
    if not compared:
        return f"{search:,}"
    total = search + compared
    return f"{total:,}: {search:,} by the search and {compared:,} by the comparison"


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _shown(value)


def _shown(value: Any) -> str:
    if value is None:
        return text.NONE
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _pairs(
    titles: tuple[str, str], pairs: Iterable[tuple[str, Any]], folded: str = ""
) -> Iterator[Table]:
    """A table of names and values; nothing where there are none."""
    if rows := [[name, str(value)] for name, value in pairs]:
        yield Table((Column(titles[0], label=True), Column(titles[1])), rows, folded=folded)
