"""A report on disk: one page, and the same as Markdown with its pictures beside it."""

from __future__ import annotations

from pathlib import Path

from results.reporting.blocks import Document
from results.reporting.html import html
from results.reporting.markdown import markdown
from results.store import plain_errors, write_text
from results.tables import AGAIN
from spaces.errors import UserError


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

    Pictures of an earlier report that this one no longer has are deleted last.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    figures = path.parent / f"{path.stem}_figures"
    words, named = markdown(document, figures.name)
    pictures = {path.parent / name: svg for name, svg in named.items()}
    with plain_errors(str(path.parent), AGAIN):
        for folder in {path.parent, *(picture.parent for picture in pictures)}:
            folder.mkdir(parents=True, exist_ok=True)
    for picture, svg in pictures.items():
        write_text(picture, svg, AGAIN)
    write_text(path.with_suffix(".md"), words, AGAIN)
    write_text(path, html(document), AGAIN)
    with plain_errors(str(figures), AGAIN):
        for old in set(figures.glob("*.svg")) - pictures.keys():
            old.unlink()
    return path
