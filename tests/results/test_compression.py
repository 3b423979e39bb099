"""What was set beside a search: its record, its table, what it cost, and the report's section."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from runs import make_run

import results
from results import CompressionBaseline, store, text
from results.compression import trainings
from results.reporting import document
from results.reporting.blocks import Paragraph, Table
from results.reporting.html import html
from results.reporting.markdown import markdown
from results.reporting.sections import section
from results.spending import spent

FULL = 1_000_000


def record(name: str, way: Any, seed: int, test: float, **changes: Any) -> CompressionBaseline:
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
    return CompressionBaseline(**fields | changes)


@pytest.fixture
def others() -> list[CompressionBaseline]:
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


def test_a_record_is_read_back_as_it_was_written(others: list[CompressionBaseline]) -> None:
    assert [CompressionBaseline.from_json(each.to_json()) for each in others] == others
    third = replace(others[4], sparsity=1 / 3, test_accuracy=float("nan"))
    back = CompressionBaseline.from_json(third.to_json())
    assert back.sparsity == 1 / 3
    assert back.test_accuracy != back.test_accuracy
    assert back == replace(third, test_accuracy=back.test_accuracy, seconds=99.0)


def test_networks_of_the_finals_and_shared_ones_are_not_counted_as_trained(
    others: list[CompressionBaseline],
) -> None:
    shared = [replace(r, name="magnitude at 0.3", budget="0.3") for r in others[4:7]]
    assert len(trainings(others)) == len(trainings([*others, *shared])) == 6
    smaller = [replace(r, sparsity=0.7) for r in shared]
    assert len(trainings([*others, *smaller])) == 9


def test_the_study_keeps_them_and_a_damaged_one_is_named(others: list[CompressionBaseline]) -> None:
    study = optuna.create_study()
    store.save(study, store.BASELINES, others)
    assert store.load(study, store.BASELINES) == tuple(others)
    texts = study.user_attrs["beside"]
    study.set_user_attr("beside", [texts[0], texts[1][:40], *texts[2:]])
    assert store.load(study, store.BASELINES) == (others[0], *others[2:])
    assert store.left_out(study) == [
        "the record of compression baseline 1 is damaged and was left out"
    ]


def test_a_run_offers_them_as_a_table(tmp_path: Path, others: list[CompressionBaseline]) -> None:
    run = make_run(compressed=others)
    results.write_tables(tmp_path, run)
    frame = run.compression_baselines
    assert frame.groupby("name", sort=False)["test_accuracy"].mean().round(4).tolist() == [
        *(0.94, 0.912),
        *(0.932, 0.92),
    ]
    assert frame["budget"].isna().tolist() == [True, *[False] * 6, *[True] * 3]
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "compression_baselines.parquet"), frame
    )
    # The older name, for one version more.
    pd.testing.assert_frame_equal(run.beside, frame)
    assert len(pd.read_csv(tmp_path / "beside.csv")) == 10
    results.write_tables(tmp_path, make_run())
    assert not list(tmp_path.glob("beside*")) + list(tmp_path.glob("compression*"))


def test_what_they_cost_is_told(others: list[CompressionBaseline]) -> None:
    (line,) = spent(make_run([], [], {"train_images": 100}, compressed=others))
    assert (line.what, line.trainings, line.seconds) == ("compression baselines", 6, 12.0)
    assert line.flops == 6 * 3 * FULL * 100 * 8
    (blind,) = spent(make_run(compressed=others))
    assert blind.flops is None


def test_the_section_says_sizes_flops_and_accuracy(others: list[CompressionBaseline]) -> None:
    first, table, *notes = section("compression", make_run(compressed=others)).blocks
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
    assert "a bitmap or the indices of CSR, whichever is smaller" in said
    assert "A weight takes 2 bits" in said


def test_the_section_speaks_of_what_is_there_and_of_nothing_before(
    others: list[CompressionBaseline],
) -> None:
    assert not section("compression", make_run(compressed=others[:4]))
    assert not section("compression", make_run())
    sparse = section("compression", make_run(compressed=others[:7]))
    said = "".join(b.text for b in sparse.blocks if isinstance(b, Paragraph)).lower()
    assert "ternary" not in said
    assert "2 bits" not in said
    without = section("compression", make_run(compressed=[*others[:4], *others[7:]]))
    said = "".join(b.text for b in without.blocks if isinstance(b, Paragraph)).lower()
    assert "zero" not in said
    assert "bitmap" not in said


def test_it_says_whose_training_had_more_epochs(records, finals, others) -> None:
    same = "the searched one where the run trains from scratch"
    (last,) = section("compression", make_run(records, finals, {}, compressed=others)).blocks[-1:]
    assert last.text.endswith(f"{same}.")
    gradual = [replace(f, layer_epochs=3 * (f.role == "searched")) for f in finals]
    (last,) = section("compression", make_run(records, gradual, {}, compressed=others)).blocks[-1:]
    assert last.text.endswith(
        f"{same}, and trial 5, which was pruned layer by layer and trained for 3 epochs more on "
        "the way."
    )


def test_it_stands_in_both_reports(records, finals, provenance, others) -> None:
    made = document(make_run(records, finals, provenance, compressed=others))
    assert [s.anchor for s in made.sections][:4] == ["decision", "summary", "front", "compression"]
    assert '<section id="compression"' in html(made)
    words, _ = markdown(made, "figures")
    row = f"93.20 {text.PLUS_MINUS} 0.50 | 3 |"
    assert f"| zeros for the smallest weights | 20.0 k | 85.0 k | 100.0 | {row}" in words
