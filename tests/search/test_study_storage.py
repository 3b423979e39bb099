"""The file of a study is made as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from search.study import storage
from search.study.storage import open_study


def test_a_kill_while_it_is_made_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sampler = tmp_path / "study.db", optuna.samplers.RandomSampler(seed=0)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(storage, "study_in", killed)
        with pytest.raises(KeyboardInterrupt), open_study(path, sampler):
            pass
    assert not path.exists()
    for _ in range(2):
        with open_study(path, sampler) as opened:
            assert len(optuna.get_all_study_summaries(f"sqlite:///{path}")) == 1
            assert opened.study.study_name == "search"
    assert not list(tmp_path.glob("*.new*"))
