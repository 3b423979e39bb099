"""``report(run)``: what a run leaves for people to read."""

from __future__ import annotations

from pathlib import Path

from results import text
from results.data import RunData
from results.reporting import files
from results.reporting.blocks import Document
from results.tables import write_tables


def report(run: RunData, path: str | Path | None = None) -> Path:
    """Write ``report.html``, ``report.md`` and every table into the run's folder.

    The page is one file that needs no network, also fit for print and for a phone; the Markdown
    has its pictures in ``report_figures/``. Works at any moment of a run: with no trial complete,
    with failed ones only, without finals.

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
        write_tables(run.folder, run)
    return files.write(document(run), target)


def document(run: RunData) -> Document:
    """The report of one run, whatever it is written as."""
    # Imported late: matplotlib takes a second that workers and `--help` need not spend.
    from results.reporting.sections import sections
    from results.reporting.sections.words import meanings

    name = run.provenance.run
    title = f"Pruning search: {name}" if name else "Pruning search"
    return Document(title, _lead(run), sections(run), meanings(run))


def _lead(run: RunData) -> str:
    given, running = run.provenance, sum(r.state == "running" for r in run.records)
    facts = (
        given.task,
        text.plural(len(run.records), "trial"),
        f"started {given.started}" if given.started else "",
        "" if given.seconds is None else f"search took {text.duration(given.seconds)}",
        f"{running} still running" if running else "",
    )
    return " · ".join(fact for fact in facts if fact)
