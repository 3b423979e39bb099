"""The house's rules, read from the code: which package may import which."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "spaces": set(),
    "prune_ops": {"spaces"},
    "results": {"spaces"},
    "search": {"spaces", "prune_ops", "results"},
}
OPTUNA = (
    "results/opening.py",
    "results/store.py",
    "search/comparison/job.py",
    "search/engines/",
    "search/memory.py",
    "search/run.py",
    "search/sampler.py",
    "search/study/",
)


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
    return found


FILES = [p for package in ALLOWED for p in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    name = path.relative_to(ROOT).as_posix()
    package = name.split("/")[0]
    used = {module.split(".")[0] for module in imports(path)}
    assert used & ALLOWED.keys() <= ALLOWED[package] | {package}
    assert "ray" not in used or name.startswith("search/engines/ray_")
    assert "optuna" not in used or name.startswith(OPTUNA)


def test_a_criterion_never_imports_another():
    for path in (ROOT / "prune_ops" / "criteria").glob("[!_]*.py"):
        assert not [m for m in imports(path) if m.startswith("prune_ops.criteria.")]


def test_a_surgery_never_imports_another():
    for path in (ROOT / "prune_ops" / "surgery").glob("[!_]*.py"):
        mine = {m for m in imports(path) if m.startswith("prune_ops.surgery.")}
        assert mine <= {"prune_ops.surgery.protocol"}


def test_results_reads_policies_and_errors_only():
    for path in (ROOT / "results").rglob("*.py"):
        assert {m for m in imports(path) if m.startswith("spaces")} <= {"spaces", "spaces.errors"}


@pytest.mark.parametrize("package", ALLOWED)
def test_public_names_are_sorted_and_exist(package):
    module = __import__(package)
    assert list(module.__all__) == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
