"""``report(run)``: what a run leaves for people to read.

Writes ``report.html`` (one file, no network, also fit for print and for a phone), ``report.md``
with its pictures in ``report_figures/``, and every table of `results.tables`.

Provenance is a plain dict of what the records do not know. Every key may be absent; what depends
on it is then left out.

| key | value |
|---|---|
| ``run`` | name of the run |
| ``task`` | what was pruned, for people: ``"resnet20 on cifar10"`` |
| ``config`` | dict of the configuration, nested dicts allowed |
| ``reference`` | the criterion that serves where a trial has none of its own |
| ``versions`` | dict: package to version |
| ``commit`` | of the source tree |
| ``device`` | what it ran on |
| ``baseline`` | dict of ``flops``, ``params``; once tested, ``val_accuracy``, ``test_accuracy`` |
| ``budgets`` | dict: budget name, as in `FinalRecord.budget`, to the most flops it allows (int) |
| ``full_flops`` | flops of the unpruned network |
| ``groups`` | list of dicts ``name``, ``channels``, in the order of the network |
| ``frozen`` | list of dicts ``name``, ``channels``, ``reason`` |
| ``uncounted`` | list of dicts ``module``, ``operation``: what multiplies, and is in no count |
| ``train_images``, ``val_images``, ``test_images`` | how many images each split has |
| ``base_epochs`` | epochs of the unpruned network's training; ``None`` if its weights were given |
| ``command`` | how to make the run again, as text |
| ``started`` | when, as text |
| ``seconds`` | wall time of the whole run |
| ``test_reads`` | how many times the search read the test split |
| ``checks`` | list of sentences, one for every check that was made |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from results import text
from results.report import files
from results.report.blocks import Document
from results.report.sections import sections
from results.report.view import View
from results.tables import write_tables

if TYPE_CHECKING:
    from results.run import Run


def report(run: Run, path: str | Path | None = None) -> Path:
    """Write ``report.html``, ``report.md`` and every table into the run's folder.

    Works at any moment of a run: with no trial complete, with failed ones only, without finals.

    Args:
        path: of the page, ending with ``.html``, or a folder; its Markdown is written beside it
            under the same name, and no table is.

    Returns:
        The path of the page.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    target = files.page_path(run.folder / "report.html" if path is None else path)
    if path is None:
        parts = (run.records, run.finals, run.repeats, run.compared, run.measured)
        write_tables(run.folder, *parts, run.others)
    return files.write(document(run.view), target)


def document(view: View) -> Document:
    """The report of one run, whatever it is written as."""
    name = view.provenance.get("run")
    title = f"Pruning search: {name}" if name else "Pruning search"
    return Document(title, _lead(view), sections(view))


def _lead(view: View) -> str:
    given, running = view.provenance, view.states()["running"]
    facts = (
        given.get("task"),
        text.plural(len(view.records), "trial"),
        f"started {given['started']}" if given.get("started") else None,
        f"search took {text.duration(given['seconds'])}" if "seconds" in given else None,
        f"{running} still running" if running else None,
    )
    return " · ".join(str(fact) for fact in facts if fact)
