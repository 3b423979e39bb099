"""Runs of older versions: every training that their records tell of has a record of its own."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import optuna
from comparisons import full_comparison, make_arm
from runs import make_run

import results
from results import Candidate, CompressionBaseline, TrainingRecord, TrainingSpec, store
from results.spending import times_tested
from spaces import Policy

ABOUT = {"train_images": 10, "full_flops": 1000, "groups": [{"name": "stem", "channels": 16}]}
ABOUT |= {"config": {"policies": {"seed": 3}, "training": {"layer_epochs": 2}}}


def purposes(run: results.Run) -> list[str]:
    return list(dict.fromkeys(record.purpose for record in run.training_records))


def test_a_final_and_a_repeat(records, finals) -> None:
    repeat = replace(records[1], seed=9, accuracy=(math.nan, 0.9), seconds=4.0)
    twice = replace(finals[2], name="again", seconds=(1.0, 2.0, 3.0))
    run = make_run(records, [*finals, twice], ABOUT, repeats=[repeat])
    again, *trained = run.training_records
    assert (again.purpose, again.candidate) == ("repeats", records[1].candidate)
    assert (again.spec.epochs, again.seed, again.val_accuracy) == (3, 9, 0.9)
    assert again.training_flops == 3 * repeat.flops * 10 * 3
    assert (again.seconds, again.tested) == (4.0, False)
    # Uniform widths and trial 5, which has two names, with three seeds each.
    assert [record.seed for record in trained] == [0, 1, 2] * 2
    assert {record.purpose for record in trained} == {"finals"}
    assert [record.seconds for record in trained[3:]] == [1.0, 2.0, 3.0]
    assert math.isnan(trained[0].seconds)
    assert math.isnan(trained[0].spec.lr)
    assert times_tested(run) == (3 + 6, 0)


def test_finals_that_were_pruned_layer_by_layer(finals) -> None:
    gradual = replace(finals[1], layer_epochs=6, layer_flops=900, seeds=(0,))
    (record,) = make_run([], [gradual], ABOUT).training_records
    assert record.spec.layer_epochs == 2
    assert record.training_flops == 3 * 10 * (gradual.flops * 8 + 900)


def test_a_compression_baseline_is_of_the_unpruned_network() -> None:
    made = CompressionBaseline("t", "ternary", None, 0.0, 1000, 1.0, 90, 45, 8, 5, 0.9, 0.8, 2.0)
    beside = replace(made, way="channels")
    (record,) = make_run([], [], ABOUT, compressed=[beside, made]).training_records
    assert record.candidate == Candidate(Policy({"stem": 16}), "")
    assert (record.spec.way, record.spec.epochs, record.seed) == ("ternary", 8, 5)
    assert (record.nonzero, record.bytes, record.test_accuracy) == (90, 45, 0.8)


def test_a_comparison_with_its_sweep_and_its_sparse_training() -> None:
    usual = full_comparison(("uniform", "l1", "slimming"), seeds=1)
    options = {"base_epochs": 20, "sparsity": 1e-4}
    failed = make_arm("thinet", "scratch-e", 0, math.nan, reason="diverged: nan")
    old = replace(usual, options=options, arms=(*usual.arms, failed), earlier_reads=2)
    run = make_run([], [], ABOUT, compared=old)
    assert purposes(run) == ["sparse training", "sweep", "comparison"]
    sparse, *others = run.training_records
    assert (sparse.spec.sparsity, sparse.spec.epochs, sparse.seed) == (1e-4, 20, 3)
    assert sparse.training_flops == 0
    sweep = [record for record in others if record.purpose == "sweep"]
    assert [record.spec.lr for record in sweep] == [0.1, 0.03, 0.01, 0.001]
    assert [record.failure for record in sweep] == ["diverged", "", "", ""]
    arms = others[4:]
    # Of fresh weights, and of random channels, uniform and l1 are one training.
    assert len(arms) == len({r.training for r in old.arms}) == 6 + 2 + 6 + 1
    assert arms[2].candidate.criterion == "random 0"
    assert (arms[-1].failure, arms[-1].reason) == ("diverged", "diverged: nan")
    assert times_tested(run) == (0, 14 + 2)


def test_a_run_that_has_records_of_its_trainings_keeps_them(tmp_path: Path, finals) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    study = optuna.create_study(storage=storage)
    store.save(study, store.FINALS, finals)
    assert purposes(results.load(tmp_path)) == ["finals"]
    made = TrainingRecord("sweep", finals[1].candidate, TrainingSpec(0.1, 2), 0, 5, 30, 1.0, 0.9)
    store.save(study, store.TRAININGS, [made])
    assert results.load(tmp_path).training_records[0].key == made.key
    assert purposes(results.load(tmp_path)) == ["sweep"]
    storage.remove_session()
    storage.engine.dispose()
