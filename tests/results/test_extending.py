"""What is new shows up by itself: a kind of record, an arm, a way to compress, a purpose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from comparisons import SIX, full_comparison
from rich.console import Console
from runs import make_run

import results
from results import ARMS, TABLES, Arm, Run, TrainingRecord, TrainingSpec, store
from results.board import means
from results.codec import Stored
from results.contrasts import contrasts, verdict
from results.data import kept
from results.reporting import document, sections
from results.reporting.blocks import Bullets, Column, Figure, Table
from results.spending import spent
from results.text import NONE


@dataclass(frozen=True, slots=True)
class EnergyRecord(Stored):
    """What a trial drew from the wall."""

    number: int
    joules: float
    device: str = "cpu"


DREW = "What each trial drew from the wall, in joules."


@dataclass(frozen=True, slots=True)
class RunWithEnergy(Run):
    """One field says where the study keeps them, what their table is called, and what it shows."""

    energy: tuple[EnergyRecord, ...] = field(
        default=(), kw_only=True, metadata=kept("energy", "energy", "energy", DREW)
    )


def test_a_kind_of_record(tmp_path: Path) -> None:
    """Its class and one field of the run: study, tables, report and notebooks have it."""
    study = optuna.create_study()
    drawn = (EnergyRecord(0, 2.5), EnergyRecord(1, float("nan"), "gpu"))
    store.save(study, store.kinds(RunWithEnergy)["energy"], drawn)
    run = RunWithEnergy(tmp_path, **store.load_all(study, RunWithEnergy))
    assert repr(run.energy) == repr(drawn)
    run.report()
    written = pd.read_parquet(tmp_path / "energy.parquet")
    assert written.dtypes.astype(str).to_dict() == {
        "number": "int64",
        "joules": "float64",
        "device": "string",
    }
    pd.testing.assert_frame_equal(run.table("energy"), written)
    assert DREW in (tmp_path / "report.md").read_text()
    _, table = sections.section("records", run).blocks
    assert table == Table(
        [Column("number", True, label=True), Column("joules", True), Column("device")],
        [["0", "2.5", "cpu"], ["1", NONE, "gpu"]],
    )
    assert not sections.section("records", make_run())
    study.set_user_attr("energy", ['{"number": 3'])
    assert store.left_out(study, RunWithEnergy) == [
        "the record of energy 0 is damaged and was left out"
    ]


FROZEN = Arm(
    "frozen",
    "inherited weights, of which only the classifier is trained",
    "training the classifier alone",
    lambda schedule: TrainingSpec(schedule.rate, epochs=1),
    swept=True,
    against="finetune",
)


def test_an_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = full_comparison()
    monkeypatch.setitem(ARMS, "frozen", FROZEN)
    new = (
        replace(r, arm="frozen", epochs=1, test_accuracy=r.test_accuracy - 0.02 - r.seed / 1000)
        for r in usual.arms
        if r.arm == "finetune"
    )
    compared = replace(usual, arms=(*usual.arms, *new))
    assert [mean.first.arm for mean in means(compared)] == [*SIX, "frozen"] * 2
    assert {r.weights for r in compared.arms if r.arm == "frozen"} == {"inherited"}
    found = {c.name: c for c in contrasts(compared)}
    assert found["uniform: finetune - frozen"].right == "training the classifier alone"
    assert "frozen: trial 12 - uniform" in found
    (planned,) = (c for c in contrasts(compared) if c.name == "finetune - frozen")
    assert planned.comparisons == 4
    assert planned.sentence.startswith(
        "At budget 0.5, inside the searched widths, fine-tuning inherited weights is better than "
        "training the classifier alone: +2.1"
    )
    assert planned.sentence in verdict(compared)
    made = sections.section("comparison", make_run(compared=compared)).blocks
    said = [getattr(block, "text", "") for block in made]
    assert any("The learning rate of finetune and random-channels and frozen" in s for s in said)
    (arms,) = (block.lines for block in made if isinstance(block, Bullets))
    assert arms[-1] == "frozen: inherited weights, of which only the classifier is trained."
    (figure,) = (block for block in made if isinstance(block, Figure))
    assert ">frozen</text>" in figure.svg
    console = Console(width=100, record=True, quiet=True)
    console.print(results.terminal_comparison(compared))


def test_records_of_an_arm_that_is_gone_are_no_error() -> None:
    usual = full_comparison()
    gone = replace(usual.arms[0], arm="frozen", epochs=1)
    compared = replace(usual, arms=(*usual.arms, gone))
    assert gone.weights == "inherited"
    assert len(contrasts(compared)) == len(contrasts(usual))
    assert spent(make_run(compared=compared))[-1].trainings == len(compared.arms)
    assert len(TABLES["comparison"](make_run(compared=compared))) == len(compared.arms)


def test_a_way_to_compress_brings_its_own_words() -> None:
    ways = {"clustered": {"label": "sixteen values a layer", "note": "Clusters (2016)."}}
    made: Any = ("clustered", "clustered", None, 0.0, 1000, 1.0, 90, 45, 8, 0, 0.9, 0.8, 2.0)
    record = results.CompressionBaseline(*made)
    run = make_run(provenance={"ways": ways, "train_images": 10}, compressed=[record])
    found = sections.section("compression", run).blocks
    (rows,) = (block.rows for block in found if isinstance(block, Table))
    assert rows[0][:2] == ["clustered", "sixteen values a layer"]
    assert "Clusters (2016)." in [getattr(block, "text", "") for block in found]
    assert [(line.what, line.trainings) for line in spent(run)] == [("compression baselines", 1)]
    assert run.compression_baselines["way"].tolist() == ["clustered"]
    silent = sections.section("compression", make_run(compressed=[record])).blocks
    (rows,) = (block.rows for block in silent if isinstance(block, Table))
    assert rows[0][1] == "clustered"


def test_a_purpose_of_training(records) -> None:
    made = TrainingRecord("distillation", records[0].candidate, TrainingSpec(0.1, 2), 0, 9, 18, 3.0)
    run = make_run(records, [], {}, training_records=(made,))
    assert spent(run)[-1].what == "distillation"
    assert run.trainings["purpose"].tolist() == ["distillation"]
    (spending,) = (s for s in document(run).sections if s.anchor == "spending")
    (rows,) = (block.rows for block in spending.blocks if isinstance(block, Table))
    assert list(rows[-1]) == ["distillation", "1", "18", "3.0"]
