"""The source of a function of ours with all that it needs, to be copied into another file."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from importlib import import_module


def needed_source(module: str, name: str, package: str) -> tuple[list[str], str]:
    """Imports, and definitions in an order that runs, that ``name`` of ``module`` needs.

    What comes from a module of ``package`` is copied too; other packages are imported. A name must
    mean the same wherever it is used.

    >>> imports, definitions = needed_source("search.models.digits_cnn", "build", "search.models")
    >>> imports
    ['from collections.abc import Sequence', 'from torch import Tensor', ...]
    """
    imports: dict[str, None] = {}
    found: dict[tuple[str, str], str] = {}
    _collect(module, name, package, imports, found)
    names = [name for _, name in found]
    assert len(set(names)) == len(names), f"{names} must differ"
    once = dict.fromkeys(found.values())  # one statement may define several names
    return sorted(imports), "\n\n\n".join(once)


def _collect(
    module: str,
    name: str,
    package: str,
    imports: dict[str, None],
    found: dict[tuple[str, str], str],
) -> None:
    """Add what ``name`` needs, and then its own definition."""
    source, statements = _statements(module)
    statement = statements.get(name)
    if statement is None or (module, name) in found:  # a builtin, say
        return
    if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith(package):
        assert all(alias.asname is None for alias in statement.names), ast.unparse(statement)
        _collect(str(statement.module), name, package, imports, found)
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        alias = next(a for a in statement.names if name in (a.asname, a.name, a.name.split(".")[0]))
        one = (
            ast.ImportFrom(statement.module, [alias], level=0)
            if isinstance(statement, ast.ImportFrom)
            else ast.Import([alias])
        )
        imports[ast.unparse(one)] = None
    else:
        found[module, name] = ""  # seen: it may use itself
        for used in dict.fromkeys(n.id for n in ast.walk(statement) if isinstance(n, ast.Name)):
            _collect(module, used, package, imports, found)
        del found[module, name]  # comes after what it uses
        found[module, name] = _text(statement, source)


def _text(statement: ast.stmt, source: str) -> str:
    decorators = getattr(statement, "decorator_list", [])
    above = "".join(f"@{ast.get_source_segment(source, each)}\n" for each in decorators)
    return f"{above}{ast.get_source_segment(source, statement)}"


@cache
def _statements(module: str) -> tuple[str, dict[str, ast.stmt]]:
    """The source of a module, and the statement at its top that defines each name."""
    source = inspect.getsource(import_module(module))
    return source, {
        name: statement for statement in ast.parse(source).body for name in _names(statement)
    }


def _names(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            yield from (alias.asname or alias.name.split(".")[0] for alias in aliases)
        case ast.Assign(targets=targets):
            yield from (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
