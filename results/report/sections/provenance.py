"""Where this comes from: what was checked, and what it takes to make the run again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from results import text
from results.report.blocks import Block, Bullets, Column, Paragraph, Section, Table
from results.report.view import View

TITLE = "Where this comes from"


def section(view: View) -> Section:
    """Checks, the facts of the run, and its configuration and versions folded."""
    given = view.provenance
    blocks: list[Block] = []
    notes = given.get("checks") or ()
    if notes:
        blocks.append(Bullets([str(note) for note in notes]))
    blocks += _pairs(("", ""), _facts(view))
    if given.get("command"):
        blocks.append(Paragraph(f"To make it again: {given['command']}", "soft"))
    blocks += _pairs(("setting", "value"), _flat(given.get("config") or {}), "Configuration")
    options = _flat(view.compared.options)
    blocks += _pairs(("setting", "value"), options, "Configuration of the comparison")
    versions = (given.get("versions") or {}).items()
    blocks += _pairs(("package", "version"), versions, "Versions")
    return Section("provenance", TITLE, blocks)


def _facts(view: View) -> Iterator[tuple[str, str]]:
    """What fits on one line each."""
    given = view.provenance
    full, seconds, epochs = (given.get(k) for k in ("full_flops", "seconds", "base_epochs"))
    facts = {
        "task": given.get("task"),
        "commit": given.get("commit"),
        "device": given.get("device"),
        "started": given.get("started"),
        "time of the search": None if seconds is None else text.duration(seconds),
        "FLOPs of the unpruned network": None if full is None else f"{full:,}",
        "images": _images(given),
        "training of the unpruned network": None if epochs is None else _epochs(epochs),
        "seeds": _seeds(view),
        "reads of the test split": _reads(view),
    }
    return ((name, str(value)) for name, value in facts.items() if value not in (None, ""))


def _epochs(epochs: Any) -> str:
    return text.plural(round(epochs, 2) if epochs % 1 else int(epochs), "epoch")


def _images(given: Mapping[str, Any]) -> str:
    """``50,000 to train, 5,000 to validate, 10,000 to test``."""
    splits = {"train": "train", "val": "validate", "test": "test"}
    known = {aim: given.get(f"{split}_images") for split, aim in splits.items()}
    return ", ".join(f"{n:,} to {aim}" for aim, n in known.items() if n is not None)


def _seeds(view: View) -> str:
    """The seeds of the final trainings and of the comparison; the trials' stand in their table."""
    seeds = {seed for final in view.finals for seed in final.seeds}
    seeds |= {record.seed for record in view.compared.arms}
    return ", ".join(map(str, sorted(seeds)))


def _reads(view: View) -> str | None:
    """How often a trained network was tested, and by whom."""
    search = view.provenance.get("test_reads")
    compared = view.compared.test_reads
    if search is None:
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
) -> list[Block]:
    """A table of names and values; nothing where there are none."""
    rows = [[name, str(value)] for name, value in pairs]
    columns = (Column(titles[0], label=True), Column(titles[1]))
    return [Table(columns, rows, folded=folded)] if rows else []
