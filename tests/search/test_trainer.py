"""The trainer: each training once, whatever for; nothing that was measured is lost."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluators import own_job, toy
from trainings import Killed, Remembering, Store

import results
import search
import spaces
from results.record import Candidate
from results.training import TrainingSpec
from search import models
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import DIVERGED, Failure, TrainingJob, TrainingResult
from search.training.trainer import NO_WEIGHTS, Known, adopted
from spaces import Space


@pytest.fixture(scope="module")
def space() -> Space:
    torch.manual_seed(0)
    model = models.build("digits_cnn", classes=10, in_channels=1)
    return spaces.discover(model, (torch.zeros(1, 1, 8, 8),))


def jobs(space: Space, seeds: tuple[int, ...] = (0, 1)) -> list[TrainingJob]:
    return [own_job(toy(space), space.uniform(b), seed) for seed in seeds for b in (0.5, 0.3)]


def test_each_training_is_done_once_whoever_asks_for_it(space: Space) -> None:
    evaluator, engine, store = toy(space), Remembering(), Store()
    trainer = store.trainer(evaluator, engine)
    asked = jobs(space)
    named = [replace(j, candidate=Candidate(j.candidate.policy, "obs")) for j in asked]
    assert len(list(trainer.train("one", [*asked, *asked], NO_WEIGHTS))) == 4
    assert list(trainer.train("other", named, NO_WEIGHTS)) == named  # the run's own criterion
    assert engine.asked == asked
    assert {record.purpose for record in trainer.records} == {"one"}


def test_fresh_weights_are_the_same_under_every_criterion(space: Space) -> None:
    engine, spec = Remembering(), TrainingSpec(0.1, 3, scratch=True)
    trainer = Store().trainer(toy(space), engine)
    policy = space.uniform(0.5)
    several = [TrainingJob(Candidate(policy, name), spec, 0) for name in ("l1", "thinet", "")]
    assert len(list(trainer.train("arms", several, NO_WEIGHTS))) == 1
    inherited = [replace(job, spec=replace(spec, scratch=False)) for job in several]
    assert len(trainer.missing(inherited)) == 3


def test_a_record_of_an_unknown_purpose_without_a_rate_is_no_error(space: Space) -> None:
    asked = replace(jobs(space)[0], spec=TrainingSpec(math.nan, 3))
    store, engine = Store(), Remembering()
    list(store.trainer(toy(space), engine).train("distillation", [asked], NO_WEIGHTS))
    (record,) = adopted(store.trainings, toy(space))
    assert math.isnan(record.spec.lr)


@pytest.mark.parametrize("cut", range(4))
def test_cut_short_anywhere_it_goes_on_where_it_was(space: Space, cut: int) -> None:
    evaluator, store, asked = toy(space), Store(), jobs(space)
    first, second = Remembering(cut=cut), Remembering()
    with pytest.raises(Killed):
        list(store.trainer(evaluator, first).train("finals", asked, NO_WEIGHTS))
    trainer = store.trainer(evaluator, second)
    assert len(list(trainer.train("finals", asked, NO_WEIGHTS))) == 4
    assert sorted(map(repr, [*first.done, *second.done])) == sorted(map(repr, asked))
    assert all(trainer.known(job) for job in asked)


@pytest.mark.parametrize(("kind", "tried"), [(DIVERGED, 0), ("worker died", 1)])
def test_what_diverged_stays_known_and_other_failures_are_tried_by_the_next_process(
    space: Space, kind: str, tried: int
) -> None:
    asked, store = jobs(space)[:1], Store()
    failing = Remembering(fails=lambda _: Failure(kind, "bad luck"))
    trainer = store.trainer(toy(space), failing)
    for _ in range(2):  # not again by the same process
        list(trainer.train("finals", asked, NO_WEIGHTS))
    assert len(failing.done) == 1
    record = trainer.known(asked[0])
    assert record is not None
    assert (record.failure, record.reason, record.training_flops) == (kind, "bad luck", 0)
    again = Remembering()
    list(store.trainer(toy(space), again).train("finals", asked, NO_WEIGHTS))
    assert len(again.done) == tried


def test_a_training_that_was_not_tested_does_not_stand_for_one_that_is(space: Space) -> None:
    tested = jobs(space)[0]
    untested = replace(tested, tested=False)
    engine, store = Remembering(), Store()
    trainer = store.trainer(toy(space), engine)
    for job in (untested, tested, untested):
        list(trainer.train("finals", [job], NO_WEIGHTS))
    assert engine.done == [untested, tested]


class Folder:
    """Weights that may get lost."""

    def __init__(self) -> None:
        self.saved: list[TrainingJob] = []

    def has(self, job: TrainingJob, known: Known) -> bool:
        assert known(job) is not None
        return job in self.saved

    def save(self, job: TrainingJob, result: TrainingResult, known: Known) -> None:
        assert result.weights
        assert known(job) is not None
        self.saved.append(job)


def test_weights_that_are_wanted_and_not_there_are_trained_again(space: Space) -> None:
    asked = [replace(job, returns_weights=True) for job in jobs(space)]
    engine, weights = Remembering(), Folder()
    trainer = Store().trainer(toy(space), engine)
    list(trainer.train("finals", asked, weights))
    assert sorted(map(repr, weights.saved)) == sorted(map(repr, asked))
    weights.saved.remove(asked[2])
    list(trainer.train("finals", asked, weights))
    assert engine.asked == [*asked, asked[2]]


def test_what_diverged_has_no_weights_to_train_it_again_for(space: Space) -> None:
    asked, store = jobs(space)[:1], Store()
    failing = Remembering(fails=lambda _: Failure(DIVERGED, "diverged: nan"))
    list(store.trainer(toy(space), failing).train("finals", asked, Folder()))
    again = Remembering()
    trainer = store.trainer(toy(space), again)
    assert trainer.missing(asked, Folder()) == []
    assert list(trainer.train("finals", asked, Folder())) == asked
    assert again.asked == []


def test_the_computation_of_stages_counts_too(space: Space) -> None:
    evaluator = toy(space, schedule="layerwise", layer_epochs=2, final_epochs=3)
    policy = space.uniform(0.5)
    trainer = Store().trainer(evaluator, Remembering())
    job = own_job(evaluator, policy, 0)
    list(trainer.train("finals", [job], NO_WEIGHTS))
    record = trainer.known(job)
    assert record is not None
    stages = 2 * sum(map(space.flops, search.training.layerwise.stages(space, policy)))
    images = evaluator.specs.images
    assert record.training_flops == 3 * images * (3 * space.flops(policy) + stages)


def test_what_is_forgotten_is_trained_again_and_its_reads_are_counted(space: Space) -> None:
    asked, store = jobs(space), Store()
    trainer = store.trainer(toy(space), Remembering())
    list(trainer.train("finals", asked[:2], NO_WEIGHTS))
    list(trainer.train("sweep", [replace(asked[2], tested=False)], NO_WEIGHTS))
    list(trainer.train("comparison", asked[3:], NO_WEIGHTS))
    assert trainer.forget(("sweep", "comparison")) == 1
    assert trainer.missing(asked) == asked[2:]
    assert len(store.trainings) == 2


def test_a_comparison_trains_nothing_that_the_search_has_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[TrainingJob] = []
    train_final = Evaluator.train_final

    def counted(self: Evaluator, job: TrainingJob) -> TrainingResult:
        trained.append(job)
        return train_final(self, job)

    monkeypatch.setattr(Evaluator, "train_final", counted)
    small = {"trials": 6, "rungs": (1,), "final_epochs": 2, "final_seeds": 2, "repeats": 1}
    small |= {"gains": False, "lr": 0.005}
    where = {"runs_dir": str(tmp_path), "name": "run", "train_images": 256, "device": "cpu"}
    run = search.search(budget=0.5, starts=("l1",), **small, **where)
    finals = [final for final in run.finals if final.policy is not None]
    networks = {(final.policy, final.criterion) for final in finals}
    assert len(trained) == 2 * len(networks) + 1
    # The rate of the search's own finals, so that fine-tuning is what the finals were.
    options = {"seeds": 3, "rates": (0.005,), "base_epochs": 1, "front": 1}
    compared = search.compare(run.folder, arms=("finetune", "scratch-e"), **options).compared
    added = trained[2 * len(networks) + 1 :]
    assert len(set(added)) == len(added)
    tuned = {r.policy for r in compared.arms if r.arm == "finetune"}
    fine_tuned = [job for job in added if not job.spec.scratch and job.tested]
    assert {job.seed for job in fine_tuned} == {2}  # seeds 0 and 1 are those of the finals
    assert len(fine_tuned) == len(tuned)
    assert len(added) == 1 + len(tuned) + 3 * len(tuned)
    best = next(final for final in finals if final.best)
    tests = {r.seed: r.test_accuracy for r in compared.arms if r.arm == "finetune" and r.best}
    assert (tests[0], tests[1]) == best.test_accuracy
    search.compare(run.folder)
    assert len(trained) == 2 * len(networks) + 1 + len(added)
    assert results.load(run.folder).compared == compared
