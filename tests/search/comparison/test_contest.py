"""The trainings of a comparison on an engine: complete, kept as they come, gone on with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from search.evaluator import Evaluator
from search.jobs import TrainingJob, TrainingResult

from results import ARMS, Comparison
from search.comparison.config import CompareConfig
from search.comparison.contest import Contest
from search.engines.local import Local
from search.finals import Finalist
from search.progress import Progress


class Killed(BaseException):
    """The system kills the process."""


class Counted(Local):
    """Trains in earnest, counts, and is killed after so many trainings."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.trained: list[TrainingJob] = []
        self._most = most

    def finals(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        for job, result in super().finals(evaluator, jobs):
            if self._most is not None and len(self.trained) == self._most:
                raise Killed
            self.trained.append(job)
            yield job, result


ASKED = CompareConfig(
    seeds=2,
    structures=("searched", "uniform", "l1", "slimming"),
    front=1,
    finetune_epochs=1,
    base_epochs=1,
    rates=(0.03, 0.01),
    sweep_epochs=1,
)


@pytest.fixture(scope="module", name="contenders")
def best_and_uniform(contenders: list[Finalist]) -> list[Finalist]:
    return [contenders[0], contenders[-1]]


def contest(
    evaluator: Evaluator, contenders: list[Finalist], engine: Local, folder: Path
) -> Contest:
    return Contest(ASKED, evaluator, contenders, engine, Progress(), folder)


@pytest.fixture(scope="module")
def whole(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Comparison, Counted, list[Comparison]]:
    """A comparison undisturbed, who trained it, and what was kept on the way."""
    engine, kept = Counted(), []
    made = contest(evaluator, contenders, engine, tmp_path_factory.mktemp("whole"))
    return made.run(Comparison(), kept.append), engine, kept


def test_every_structure_is_there_in_every_arm_with_every_seed(whole, contenders) -> None:
    comparison, _, kept = whole
    assert comparison.complete
    rows = [(r.structure, r.arm, r.seed) for r in comparison.arms]
    names = ("trial 7", "uniform", "l1", "slimming")
    assert sorted(rows) == sorted((n, a, s) for n in names for a in ARMS for s in (0, 1))
    assert all(0 <= r.test_accuracy <= 1 and r.reason == "" for r in comparison.arms)
    assert kept[-1] == comparison
    assert not any(each.complete for each in kept[:-1])
    uniform = [r for r in comparison.arms if r.structure == "uniform"]
    assert {r.policy for r in uniform} == {contenders[-1].policy}


def test_no_training_is_done_twice_and_each_tested_network_counts_once(whole) -> None:
    comparison, engine, _ = whole
    assert len(set(engine.trained)) == len(engine.trained)
    tested = [job for job in engine.trained if job.training and job.training.tested]
    assert comparison.test_reads == len(tested)


def test_fine_tuning_uses_the_rate_that_the_sweep_chose(whole) -> None:
    comparison, _, _ = whole
    (chosen,) = [p for p in comparison.sweep if p.chosen]
    assert {p.lr for p in comparison.sweep} == {0.03, 0.01}
    tuned = [r for r in comparison.arms if r.arm in ("finetune", "random-channels")]
    assert {r.lr for r in tuned} == {chosen.lr}
    assert chosen.val_accuracy == max(p.val_accuracy for p in comparison.sweep)
    assert chosen.seed not in {r.seed for r in comparison.arms}


def test_a_rate_at_the_end_of_the_range_is_said_to_be(whole) -> None:
    comparison, _, _ = whole
    assert any("an end of its range" in note for note in comparison.notes)  # of two, both are


def test_what_the_sparse_training_took_is_kept(whole, evaluator: Evaluator) -> None:
    comparison, _, _ = whole
    assert comparison.sparse_flops == 3 * evaluator.space.full_flops * len(evaluator.task.train) * 1
    assert comparison.sparse_seconds > 0


def test_slimming_inherits_from_its_own_sparse_training(whole, evaluator: Evaluator) -> None:
    comparison, engine, _ = whole
    rows = {r.arm: r for r in comparison.arms if r.structure == "slimming" and r.seed == 0}
    assert rows["finetune"].criterion == "slimming"
    assert rows["random-channels"].criterion == "random"
    (sparse,) = [j for j in engine.trained if j.training and j.training.recipe.sparsity > 0]
    assert (sparse.policy, sparse.training.scratch, sparse.training.epochs) == (
        evaluator.space.full,
        True,
        1,
    )


def test_killed_again_and_again_it_goes_on_and_ends_the_same(
    whole, evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    comparison, undisturbed, _ = whole
    killed, kept = [Counted(most) for most in (0, 1, 4, 20)], [Comparison()]
    for engine in killed:
        with pytest.raises(Killed):
            contest(evaluator, contenders, engine, tmp_path).run(kept[-1], kept.append)
    last = Counted()
    ended = contest(evaluator, contenders, last, tmp_path).run(kept[-1], kept.append)
    assert table(ended) == table(comparison)
    trained = [job for engine in (*killed, last) for job in engine.trained]
    assert len(set(trained)) == len(trained) == len(undisturbed.trained)


def table(comparison: Comparison) -> list[tuple[object, ...]]:
    return [
        (r.structure, r.arm, r.seed, r.lr, r.val_accuracy, r.test_accuracy, r.total_flops)
        for r in comparison.arms
    ]


def test_more_seeds_train_only_what_is_new(
    whole, evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    comparison, _, _ = whole
    asked = CompareConfig.of(**{**vars(ASKED), "seeds": 3, "structures": ("uniform",)})
    engine = Counted()
    made = Contest(asked, evaluator, contenders, engine, Progress(), tmp_path)
    extended = made.run(comparison, lambda _: None)
    assert {job.seed for job in engine.trained} == {2}
    assert {(r.structure, r.seed) for r in extended.arms} >= {("uniform", 2), ("l1", 1)}
    assert extended.sweep == comparison.sweep


def test_without_swept_arms_no_rate_is_sought(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    asked = CompareConfig.of(**{**vars(ASKED), "arms": ("scratch-e",), "structures": ("uniform",)})
    engine = Counted()
    made = Contest(asked, evaluator, contenders, engine, Progress(), tmp_path)
    comparison = made.run(Comparison(), lambda _: None)
    assert (len(engine.trained), comparison.sweep) == (2, ())


def test_weights_of_unknown_training_are_said_to_be(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    given = replace(evaluator, task=replace(evaluator.task, base_epochs=None))
    asked = CompareConfig.of(**{**vars(ASKED), "arms": ("scratch-e",), "structures": ("uniform",)})
    made = Contest(asked, given, contenders, Counted(), Progress(), tmp_path)
    notes = made.run(Comparison(), lambda _: None).notes
    assert any("is not known: its training is counted as 1 epoch " in note for note in notes)


def test_another_surgery_and_schedule_of_the_search_are_said(
    whole, evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    training = replace(evaluator.config.training, surgery="scale", schedule="layerwise")
    given = replace(evaluator, config=replace(evaluator.config, training=training))
    asked = CompareConfig.of(**{**vars(ASKED), "arms": ("scratch-e",), "structures": ("uniform",)})
    made = Contest(asked, given, contenders, Counted(), Progress(), tmp_path)
    notes = made.run(Comparison(), lambda _: None).notes
    for said in ("went through the surgery of the search, scale", "are pruned at one stroke; the"):
        assert any(said in note for note in notes)
        assert not any(said in note for note in whole[0].notes)


def test_a_training_that_diverges_leaves_the_others_alone(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    asked = CompareConfig.of(
        **{**vars(ASKED), "rates": (1e12, 0.01), "structures": ("uniform",), "seeds": 1}
    )
    made = Contest(asked, evaluator, contenders, Counted(), Progress(), tmp_path)
    comparison = made.run(Comparison(), lambda _: None)
    assert [(p.lr, math.isnan(p.val_accuracy), p.chosen) for p in comparison.sweep] == [
        (1e12, True, False),
        (0.01, False, True),
    ]
    assert torch.tensor([r.test_accuracy for r in comparison.arms]).isfinite().all()
