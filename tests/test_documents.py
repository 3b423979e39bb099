"""The documents name only files, folders and modules that exist."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("design", "gpu", "scale", "tables")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *(f"docs/{page}.md" for page in PAGES))
OURS = ("spaces", "prune_ops", "results", "search", "tests", "benchmarks", "docs", "scripts")
NAMED = re.compile(rf"`(?:python )?((?:{'|'.join(OURS)})/[\w/.*<>-]*)")
LINKED = re.compile(r"\]\((?!https?:)([^)#]+)\)")
DOTTED = re.compile(rf"`((?:{'|'.join(OURS[:4])})(?:\.\w+)+)")


def exists(path: str) -> bool:
    """A placeholder, ``<name>``, stands for whatever fits."""
    return any(ROOT.glob(re.sub(r"<\w+>", "*", path).rstrip("/")))


def resolves(name: str) -> bool:
    """Whether a dotted name is a file, a module, or an attribute of one."""
    module, _, attribute = name.rpartition(".")
    if (ROOT / name).is_file() or (ROOT / f"{name.replace('.', '/')}.py").is_file():
        return True
    return find_spec(module) is not None and hasattr(__import__(module, fromlist="_"), attribute)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    assert [path for path in NAMED.findall(text) if not exists(path)] == []
    folder = (ROOT / document).parent
    assert [link for link in LINKED.findall(text) if not (folder / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_module_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    assert [name for name in DOTTED.findall(text) if not resolves(name)] == []


def test_the_design_names_every_package_of_the_search() -> None:
    text = (ROOT / "docs/design.md").read_text()
    packages = {p.parent.name for p in (ROOT / "search").glob("*/__init__.py")}
    assert packages - set(re.findall(r"`search/(\w+)/`", text)) == {"data", "models"}
