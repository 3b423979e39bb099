"""The tables are complete, the public names exist, and strategies know nothing of each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import prune_ops
from prune_ops.criteria import ALIASES

HOME = Path(prune_ops.__file__).parent
TABLES = {"criteria": prune_ops.CRITERIA, "proxies": prune_ops.PROXIES}
HELPERS = {"__init__", "accuracy", "candidate", "passes"}


def strategies(folder):
    return sorted(path for path in (HOME / folder).glob("*.py") if path.stem not in HELPERS)


@pytest.mark.parametrize("folder", TABLES)
def test_every_file_is_in_the_table_under_its_name(folder):
    assert [path.stem for path in strategies(folder)] == sorted(
        TABLES[folder].keys() - ALIASES.keys()
    )


@pytest.mark.parametrize("folder", TABLES)
def test_the_key_is_the_name(folder):
    assert all(strategy.name == key for key, strategy in TABLES[folder].items())


@pytest.mark.parametrize("folder", TABLES)
def test_no_strategy_imports_another(folder):
    names = {f"prune_ops.{folder}.{path.stem}" for path in strategies(folder)}
    for path in strategies(folder):
        tree = ast.parse(path.read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not imported & (names | {f"prune_ops.{folder}"}), path.name


def test_public_names_are_there():
    assert set(prune_ops.__all__) <= set(dir(prune_ops))
