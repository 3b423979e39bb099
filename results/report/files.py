"""A report on disk: one page, and the same as Markdown with its pictures beside it."""

from __future__ import annotations

from pathlib import Path

from results.report.blocks import Document
from results.report.html import html
from results.report.markdown import markdown
from results.store import plain_errors, write_text
from spaces.errors import UserError

AGAIN = "make the report again"


def page_path(path: str | Path) -> Path:
    """Where the page is to be: ``path``, or ``report.html`` in it where that is a folder.

    Raises:
        UserError: it does not end with ``.html``; the Markdown has the same name.
    """
    path = Path(path)
    if path.is_dir():
        return path / "report.html"
    if path.suffix not in (".html", ".htm"):
        raise UserError(f"a report's path must end with .html, but got {path}")
    return path


def write(document: Document, path: Path) -> Path:
    """Write ``path``, its Markdown ``<stem>.md`` and ``<stem>_figures/``, each file in one step.

    Returns:
        ``path``.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    words, pictures = markdown(document, f"{path.stem}_figures")
    folders = {path.parent, *((path.parent / name).parent for name in pictures)}
    with plain_errors(str(path.parent), AGAIN):
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
    for name, svg in pictures.items():
        write_text(path.parent / name, svg, AGAIN)
    write_text(path.with_suffix(".md"), words, AGAIN)
    write_text(path, html(document), AGAIN)
    return path
