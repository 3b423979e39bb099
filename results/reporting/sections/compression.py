"""Other ways to compress: what they save, and how accurate the networks are."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator, Sequence

from results import text
from results.compression import CompressionBaseline
from results.data import RunData
from results.reporting.blocks import Block, Cells, Column, Paragraph, tabulate


def blocks(run: RunData) -> Iterator[Block]:
    """Nothing where no compression baseline was trained."""
    if not any(record.trained for record in run.compressed):
        return
    networks: dict[tuple[str, str], list[CompressionBaseline]] = {}
    for record in run.compressed:
        networks.setdefault((record.way, record.name), []).append(record)
    yield Paragraph(
        "Only removing channels saves FLOPs. A network whose weights are compressed computes all "
        "FLOPs of the unpruned network, unless a device of its own makes use of that; what it "
        "saves is bytes."
    )
    yield tabulate(networks.values(), _cells(run), marked=lambda rs: rs[0].way == "channels")
    yield from (Paragraph(line, "soft") for line in _notes(run, networks))


def _cells(run: RunData) -> Cells[Sequence[CompressionBaseline]]:
    """Of a network's trainings. Sizes are means: which weights become zero may depend on them."""
    return {
        Column("", label=True): lambda rs: rs[0].name,
        Column("compressed by", minor=True): lambda rs: run.provenance.way(rs[0].way).label,
        Column("non-zero weights", numeric=True): lambda rs: text.count(
            statistics.fmean(r.nonzero for r in rs)
        ),
        Column("bytes", numeric=True): lambda rs: text.count(statistics.fmean(r.bytes for r in rs)),
        Column("% of FLOPs", numeric=True): lambda rs: text.number(rs[0].flops_fraction, 1),
        Column(f"{run.metric.head('test')}, mean and interval", numeric=True): lambda rs: (
            run.metric.mean_interval([r.test_accuracy for r in rs])
        ),
        Column("seeds", numeric=True, minor=True): lambda rs: str(len(rs)),
    }


def _notes(run: RunData, networks: Collection[tuple[str, str]]) -> Iterator[str]:
    notes = (run.provenance.way(way).note for way in dict.fromkeys(way for way, _ in networks))
    yield from filter(None, notes)
    yield (
        "Bytes are those of the weights of convolutions and linear layers, and 4 for each bias, "
        "scale and running statistic. Weights take 4 where nothing else is said above. "
        f"{run.metric.title} is the mean over seeds with its 95 % Student-t interval; all were "
        "fine-tuned with the same seeds and epochs, but for the unpruned network, and the searched "
        f"one where the run trains from scratch{_gradual(run, networks)}."
    )


def _gradual(run: RunData, networks: Collection[tuple[str, str]]) -> str:
    """Whose training began before the epochs that all have."""
    more = {f.name: f.layer_epochs for f in run.finals if ("channels", f.name) in networks}
    return "".join(
        f", and {name}, which was pruned layer by layer and trained for "
        f"{text.plural(epochs, 'epoch')} more on the way"
        for name, epochs in more.items()
        if epochs
    )
