"""The tables are complete, the public names exist, and strategies do not import each other."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import prune_ops

HOME = Path(prune_ops.__file__).parent
TABLES = {"criteria": prune_ops.CRITERIA, "proxies": prune_ops.PROXIES}
HELPERS = {"__init__", "candidate", "passes"}


def modules(folder):
    """The dotted names of the files in which a folder's strategies are defined."""
    stems = (path.stem for path in sorted((HOME / folder).glob("*.py")))
    return [f"prune_ops.{folder}.{stem}" for stem in stems if stem not in HELPERS]


@pytest.mark.parametrize("folder", TABLES)
def test_every_file_defines_a_strategy_of_the_table(folder):
    assert modules(folder) == sorted({type(each).__module__ for each in TABLES[folder].values()})


@pytest.mark.parametrize("folder", TABLES)
def test_the_key_is_the_name(folder):
    assert all(strategy.name == key for key, strategy in TABLES[folder].items())


@pytest.mark.parametrize("folder", TABLES)
def test_no_strategy_imports_another(folder):
    forbidden = {*modules(folder), f"prune_ops.{folder}"}
    for name in modules(folder):
        tree = ast.parse(Path(importlib.import_module(name).__file__).read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not imported & forbidden, name


def test_public_names_are_there():
    assert set(prune_ops.__all__) <= set(dir(prune_ops))
