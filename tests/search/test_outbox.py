"""Results that wait in the folder: kept, found again by another process, dropped, damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from results import TrialRecord
from search.evaluation.jobs import Failure, RungResult
from search.sharing.outbox import FolderOutbox
from spaces import Policy

RECORD = TrialRecord(
    3, Policy({"conv1": 8}), "tpe", flops=10, flops_fraction=0.5, params=7, seed=11
)
RESULTS = [
    RungResult(0, 1.5, proxies={"adaptive_bn": 0.1 + 0.2}),
    RungResult(1, 2.5, accuracy=1 / 3, epochs=4),
    RungResult(2, 0.5, accuracy=0.5, failure=Failure("diverged", "diverged: nan")),
]


@pytest.mark.parametrize("result", RESULTS)
def test_a_later_process_finds_what_was_kept(tmp_path: Path, result: RungResult) -> None:
    folder = tmp_path / "unsaved"
    FolderOutbox(folder).keep(RECORD, result)
    later = FolderOutbox(folder)
    assert repr(later.find(RECORD, result.rung)) == repr(result)  # nan is not equal to itself
    assert later.find(replace(RECORD, number=9), result.rung) is not None  # requeued since
    assert later.find(replace(RECORD, seed=12), result.rung) is None
    assert later.find(RECORD, result.rung + 1) is None
    later.drop(RECORD, result.rung)
    assert later.find(RECORD, result.rung) is None
    assert list(folder.iterdir()) == []


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    FolderOutbox(tmp_path).keep(RECORD, RESULTS[0])
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:20])
    assert FolderOutbox(tmp_path).find(RECORD, 0) is None


def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    outbox = FolderOutbox(tmp_path / "unsaved")
    outbox.clear()
    outbox.keep(RECORD, RESULTS[0])
    outbox.clear()
    assert list(tmp_path.iterdir()) == []
