"""What was set beside a search: its record, its table, what it cost, and the report's section."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

import results
from results import BesideRecord, store, text
from results.beside import trainings
from results.report import document
from results.report.blocks import Paragraph, Table
from results.report.html import html
from results.report.markdown import markdown
from results.report.sections import beside
from results.report.view import View
from results.spending import spent

FULL = 1_000_000


def record(name: str, way: Any, seed: int, test: float, **changes: Any) -> BesideRecord:
    channels = way == "channels"
    fields: dict[str, Any] = {
        "name": name,
        "way": way,
        "budget": "0.5" if way in ("channels", "magnitude") else None,
        "sparsity": 0.5 if way == "magnitude" else 0.0,
        "flops": FULL // 2 if channels else FULL,
        "flops_fraction": 0.5 if channels else 1.0,
        "nonzero": 40_000 if way == "unpruned" else 20_000,
        "bytes": 160_000 if way == "unpruned" else 80_000,
        "epochs": 0 if way == "unpruned" else 8,
        "seed": seed,
        "val_accuracy": 0.9,
        "test_accuracy": test,
        "seconds": 2.0,
    }
    return BesideRecord(**fields | changes)


@pytest.fixture
def others() -> list[BesideRecord]:
    """The unpruned network, the searched one, a sparse and a ternary one, over three seeds."""
    return [
        record("unpruned", "unpruned", 0, 0.94),
        *(record("trial 5", "channels", s, a) for s, a in enumerate((0.910, 0.913, 0.913))),
        *(
            record("magnitude at 0.5", "magnitude", s, a, bytes=85_000)
            for s, a in enumerate((0.930, 0.932, 0.934))
        ),
        *(
            record("ternary", "ternary", s, 0.92, bytes=11_000, nonzero=22_000 + 1_000 * s)
            for s in range(3)
        ),
    ]


def test_a_record_is_read_back_as_it_was_written(others: list[BesideRecord]) -> None:
    assert [BesideRecord.from_json(each.to_json()) for each in others] == others
    third = replace(others[4], sparsity=1 / 3, test_accuracy=float("nan"))
    back = BesideRecord.from_json(third.to_json())
    assert back.sparsity == 1 / 3
    assert back.test_accuracy != back.test_accuracy
    assert back == replace(third, test_accuracy=back.test_accuracy, seconds=99.0)


def test_networks_of_the_finals_and_shared_ones_are_not_counted_as_trained(
    others: list[BesideRecord],
) -> None:
    shared = [replace(r, name="magnitude at 0.3", budget="0.3") for r in others[4:7]]
    assert len(trainings(others)) == len(trainings([*others, *shared])) == 6
    smaller = [replace(r, sparsity=0.7) for r in shared]
    assert len(trainings([*others, *smaller])) == 9


def test_the_study_keeps_them_and_a_damaged_one_is_named(others: list[BesideRecord]) -> None:
    study = optuna.create_study()
    results.save_beside(study, others)
    assert results.load_beside(study) == others
    texts = study.user_attrs[store.BESIDE]
    study.set_user_attr(store.BESIDE, [texts[0], texts[1][:40], *texts[2:]])
    assert results.load_beside(study) == [others[0], *others[2:]]
    assert store.left_out(study) == ["the record of network beside 1 is damaged and was left out"]


def test_a_run_offers_them_as_a_table(tmp_path: Path, others: list[BesideRecord]) -> None:
    results.write_tables(tmp_path, [], others=others)
    frame = results.Run(tmp_path, (), (), {}, others=tuple(others)).beside
    assert frame.groupby("name", sort=False)["test_accuracy"].mean().round(4).tolist() == [
        *(0.94, 0.912),
        *(0.932, 0.92),
    ]
    assert frame["budget"].isna().tolist() == [True, *[False] * 6, *[True] * 3]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "beside.parquet"), frame)
    assert len(pd.read_csv(tmp_path / "beside.csv")) == 10
    results.write_tables(tmp_path, [])
    assert not (tmp_path / "beside.csv").exists()


def test_what_they_cost_is_told(others: list[BesideRecord]) -> None:
    (line,) = spent([], [], {"train_images": 100}, others=others)
    assert (line.what, line.trainings, line.seconds) == ("beside", 6, 12.0)
    assert line.flops == 6 * 3 * FULL * 100 * 8
    (blind,) = spent([], [], {}, others=others)
    assert blind.flops is None


def test_the_section_says_sizes_flops_and_accuracy(others: list[BesideRecord]) -> None:
    section = beside.section(View([], [], {}, others=others))
    first, table, *notes = section.blocks
    assert isinstance(first, Paragraph)
    assert first.text.startswith("Only removing channels saves FLOPs.")
    assert isinstance(table, Table)
    assert [[row[0], *row[2:]] for row in table.rows] == [
        ["unpruned", "40.0 k", "160 k", "100.0", "94.00", "1"],
        ["trial 5", "20.0 k", "80.0 k", "50.0", f"91.20 {text.PLUS_MINUS} 0.43", "3"],
        ["magnitude at 0.5", "20.0 k", "85.0 k", "100.0", f"93.20 {text.PLUS_MINUS} 0.50", "3"],
        ["ternary", "23.0 k", "11.0 k", "100.0", "92.00", "3"],
    ]
    assert table.marked == {1}
    said = "\n".join(note.text for note in notes if isinstance(note, Paragraph))
    assert "Han et al. 2015" in said
    assert "straight-through estimator" in said
    assert "a bitmap, or the indices of CSR, whichever is smaller" in said


def test_the_section_speaks_of_what_is_there_and_of_nothing_before(
    others: list[BesideRecord],
) -> None:
    assert not beside.section(View([], [], {}, others=others[:4]))
    assert not beside.section(View([], [], {}))
    sparse = beside.section(View([], [], {}, others=others[:7]))
    assert "Ternary" not in "".join(b.text for b in sparse.blocks if isinstance(b, Paragraph))


def test_it_says_whose_training_had_more_epochs(records, finals, others) -> None:
    same = "the searched one where the run trains from scratch"
    (last,) = beside.section(View(records, finals, {}, others=others)).blocks[-1:]
    assert last.text.endswith(f"{same}.")
    gradual = [replace(f, layer_epochs=3 * (f.role == "searched")) for f in finals]
    (last,) = beside.section(View(records, gradual, {}, others=others)).blocks[-1:]
    assert last.text.endswith(
        f"{same}, and trial 5, which was pruned layer by layer and trained for 3 epochs more on "
        "the way."
    )


def test_it_stands_in_both_reports(records, finals, provenance, others) -> None:
    made = document(View(records, finals, provenance, others=others))
    assert [s.anchor for s in made.sections][:3] == ["summary", "front", "beside"]
    assert '<section id="beside"' in html(made)
    words, _ = markdown(made, "figures")
    row = f"93.20 {text.PLUS_MINUS} 0.50 | 3 |"
    assert f"| zeros for the smallest weights | 20.0 k | 85.0 k | 100.0 | {row}" in words
