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
    "results/optuna_private.py",
    "results/run.py",
    "results/store.py",
    "search/engines/ray_tune.py",
    "search/policies/memory.py",
    "search/policies/parameters.py",
    "search/policies/__init__.py",
    "search/policies/sampler.py",
    "search/policies/samplers.py",
    "search/policies/surrogate.py",
    "search/session.py",
    "search/sharing/",
    "search/study/",
)
PRIVATE_TO_OPTUNA = {
    "_backend",
    "_cached_frozen_trial",
    "_create_new_trial",
    "_get_latest_trial",
    "_get_stale_trial_ids",
    "_get_trials",
    "_is_multi_objective",
    "_ot_study",
    "_ot_trials",
    "_pop_waiting_trial_id",
    "_set_trial_param",
    "_storage",
    "_study_id",
    "_suggest",
    "_thread_local",
    "_trial_id",
}
"""Attributes of its studies, trials and storages, and of Ray's search by it."""


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = f"{path.parent.relative_to(ROOT)}." if node.level else ""
            found.add(f"{inside}{node.module}")
    return found


FILES = [
    path
    for package in ALLOWED
    for path in sorted((ROOT / package).rglob("*.py*"))
    if path.suffix in (".py", ".pyi")
]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    name = path.relative_to(ROOT).as_posix()
    package = name.split("/")[0]
    used = {module.split(".")[0] for module in imports(path)}
    assert used & ALLOWED.keys() <= ALLOWED[package] | {package}
    assert "ray" not in used or name.startswith("search/engines/ray_")
    assert "optuna" not in used or name.startswith(OPTUNA)
    for library in used & {"wandb", "mlflow", "tensorboard"}:
        assert name == f"search/loggers/{library}.py"
    if used & {"lightning", "transformers", "ultralytics"}:
        assert name.startswith("search/loops/")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_names_private_to_optuna_are_used_in_one_file(path):
    if path == ROOT / "results" / "optuna_private.py":
        return
    used = {
        name
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (getattr(node, field, None) for field in ("attr", "name", "id", "value"))
        if isinstance(name, str)
    }
    assert not used & PRIVATE_TO_OPTUNA
    optunas = [module.split(".") for module in imports(path) if module.startswith("optuna")]
    assert not [module for module in optunas if any(part.startswith("_") for part in module)]


def test_only_a_run_with_a_storage_enters_the_package_of_sharing():
    entering = {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if any(module.startswith("search.sharing") for module in imports(path))
    }
    assert {name for name in entering if not name.startswith("search/sharing/")} == {
        "search/study/open.py"
    }


def test_a_criterion_never_imports_another():
    for path in (ROOT / "prune_ops" / "criteria").glob("[!_]*.py"):
        assert not [m for m in imports(path) if m.startswith("prune_ops.criteria.")]


def test_a_surgery_never_imports_another():
    for path in (ROOT / "prune_ops" / "surgery").glob("[!_]*.py"):
        mine = {m for m in imports(path) if m.startswith("prune_ops.surgery.")}
        assert mine <= {"prune_ops.surgery.protocol"}


READ_OF_SPACES = ("budget", "cost", "errors", "files", "latency", "limits", "widths")
READ = {"spaces"} | {f"spaces.{name}" for name in READ_OF_SPACES}


def test_results_reads_policies_costs_errors_and_files_only():
    for path in (ROOT / "results").rglob("*.py"):
        assert {m for m in imports(path) if m.startswith("spaces")} <= READ


@pytest.mark.parametrize("package", ALLOWED)
def test_public_names_are_sorted_and_exist(package):
    module = __import__(package)
    assert list(module.__all__) == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
