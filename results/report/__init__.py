"""``report(folder, records, finals, provenance)``: what a run leaves for people to read.

Writes ``report.html`` (one file, no network, also fit for print and for a phone), ``trials.csv``
and ``pareto.csv``.

Provenance is a plain dict of what the records do not know. Every key may be absent; what depends
on it is then left out.

| key | value |
|---|---|
| ``run`` | name of the run |
| ``task`` | what was pruned, for people: ``"resnet20 on cifar10"`` |
| ``config`` | dict of the configuration, nested dicts allowed |
| ``versions`` | dict: package to version |
| ``commit`` | of the source tree |
| ``device`` | what it ran on |
| ``baseline`` | dict of ``flops``, ``params``, ``val_accuracy``, ``test_accuracy`` |
| ``budgets`` | dict: budget name, as in `FinalRecord.budget`, to the most flops it allows (int) |
| ``full_flops`` | flops of the unpruned network |
| ``groups`` | list of dicts ``name``, ``channels``, in the order of the network |
| ``frozen`` | list of dicts ``name``, ``channels``, ``reason`` |
| ``started`` | when, as text |
| ``seconds`` | wall time of the whole run |
| ``test_reads`` | how many times the test split was read |
| ``checks`` | list of sentences, one for every check that was made |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results.record import FinalRecord, TrialRecord
from results.report.page import html
from results.store import write_text
from results.tables import write_tables


def report(
    folder: str | Path,
    records: Sequence[TrialRecord],
    finals: Sequence[FinalRecord],
    provenance: Mapping[str, Any],
) -> Path:
    """Write ``report.html``, ``trials.csv`` and ``pareto.csv`` into ``folder``.

    Works at any moment of a run: with no trial complete, with failed ones only, without finals.

    Returns:
        The path of ``report.html``.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    path = Path(folder) / "report.html"
    write_tables(folder, records, finals)
    write_text(path, html(records, finals, provenance))
    return path
