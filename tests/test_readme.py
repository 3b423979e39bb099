"""The README's code runs as it stands, with a shorter search."""

import re
from pathlib import Path

import pytest

from prune_ops import load_policy

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHORT = {
    "trials=48": "trials=3, rungs=(1,), final_epochs=1, final_seeds=1, repeats=0",
    "seeds=3": "seeds=1, base_epochs=1, rates=(0.01,), front=1",
}


def test_the_api_and_the_loading_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loading, api = BLOCKS
    names: dict[str, object] = {}
    for long, short in SHORT.items():
        assert long in api
        api = api.replace(long, short)
    exec(compile(api, "README.md", "exec"), names)
    assert len(names["run"].comparison) == 12  # type: ignore[attr-defined]
    run, solved = names["run"], names["solved"]
    kept = run.space.as_space()  # type: ignore[attr-defined]
    assert solved.flops == names["space"].flops(solved.policy) == kept.flops(solved.policy)  # type: ignore[attr-defined]
    assert all(kept.flops(r.policy) == r.flops for r in run.records)  # type: ignore[attr-defined]
    assert all(kept.params(r.policy) == r.params for r in run.records)  # type: ignore[attr-defined]
    assert Path("report.html").stat().st_size > 10_000
    folder = names["run"].folder / "models" / "best"  # type: ignore[attr-defined]
    assert "runs/digits_small-0.5/models/best" in loading
    exec(loading.replace("runs/digits_small-0.5/models/best", str(folder)), names)
    assert not names["model"].training  # type: ignore[attr-defined]
    fitted = names["space"].widths(load_policy(folder))  # type: ignore[attr-defined]
    counted = sum(p.numel() for p in names["model"].parameters())  # type: ignore[attr-defined]
    assert counted == names["space"].params(fitted)  # type: ignore[attr-defined]


def test_the_two_lines_stand_alone_so_that_ci_can_run_them() -> None:
    lines = README.splitlines()
    assert "pip install -e . && python search.py --budget 0.5" in lines
    assert "pip install -e '.[test]' && pytest" in lines
