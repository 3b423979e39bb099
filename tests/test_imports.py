"""The graph of imports: no circle anywhere, and no chain so long that nobody could follow it."""

from __future__ import annotations

import ast
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("spaces", "prune_ops", "results", "search")
LONGEST = 14
"""Modules in the longest chain of imports inside ``search``."""


def named(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {named(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
FILES |= {named(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.pyi")}
"""Of a package whose names are imported when they are asked for, the list of these names."""


@cache
def imported(module: str) -> frozenset[str]:
    """Our modules that a module imports anywhere in its file, also for type checking alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = f"{module}.{node.module}" if node.level else node.module
            inner = {f"{whole}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else whole for name in inner}
    return frozenset(found & FILES.keys()) - {module}


@cache
def chain(module: str) -> tuple[str, ...]:
    """The longest chain of imports inside ``search`` that begins with a module."""
    below = [chain(each) for each in imported(module) if each.startswith("search")]
    return (module, *max(below, key=len, default=()))


def circle() -> list[str]:
    """The modules of a circle of imports, each imported by the next; empty without one."""
    try:
        TopologicalSorter({module: imported(module) for module in FILES}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_there_is_no_circle() -> None:
    assert not circle()


def test_no_chain_in_search_is_longer_than_one_can_follow() -> None:
    longest = max((chain(module) for module in FILES if module.startswith("search")), key=len)
    assert len(longest) <= LONGEST, " -> ".join(longest)


@pytest.mark.parametrize(
    ("module", "others"), [("search.progress", {"rich", "search.stages"}), ("search.stages", set())]
)
def test_a_progress_bar_imports_nothing_but_rich_and_its_stages(
    module: str, others: set[str]
) -> None:
    tree = ast.parse(FILES[module].read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [getattr(node, "module", None) or alias.name for node in nodes for alias in node.names]
    told = {name if name.startswith("search.") else name.partition(".")[0] for name in names}
    assert told - sys.stdlib_module_names == others


def test_circles_and_chains_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The graph itself is right: of two files that import each other it finds both."""
    (tmp_path / "a.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from b import x\n"
    )
    (tmp_path / "b.py").write_text("def f():\n    import a\n")
    for name in ("a", "b"):
        monkeypatch.setitem(FILES, name, tmp_path / f"{name}.py")
    assert (imported("a"), imported("b")) == ({"b"}, {"a"})
    with pytest.raises(CycleError):
        TopologicalSorter({name: imported(name) for name in ("a", "b")}).prepare()
