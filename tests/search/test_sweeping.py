"""A run finds its learning rates once: whoever comes later takes them as they are."""

from __future__ import annotations

import optuna
from evaluators import toy
from optuna.study import Study
from trainings import Measured

from results import TrialRecord, store
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, TrainingJob
from search.progress import Progress
from search.study.peers import OpenStudy
from search.sweeping import found, missing
from search.training.trainer import Trainer
from spaces import Budget, Space

BUDGETS = [Budget.parse("0.5")]


def rates(study: Study, evaluator: Evaluator, engine: Measured) -> dict[tuple[str, int], float]:
    """As a process of the run finds them."""

    def trainer() -> Trainer:
        known = store.load(study, store.TRAININGS)
        return Trainer(evaluator, engine, known, lambda r: store.save(study, store.TRAININGS, r))

    plan = missing(evaluator, BUDGETS, OpenStudy(study))
    assert plan is not None
    return found(plan, OpenStudy(study), trainer, Progress())


def died(job: TrainingJob) -> Failure | None:
    return Failure("worker died", "the worker died") if job.spec.lr == 0.003 else None


def test_a_rate_whose_worker_died_is_not_tried_again_once_trials_may_have_begun(
    space: Space,
) -> None:
    study, evaluator = optuna.create_study(), toy(space)
    chosen = rates(study, evaluator, Measured(fails=died))
    assert chosen.keys() == {("0.5", epochs) for epochs in (1, 3, 12)}
    assert 0.003 not in chosen.values()  # it would have been the best, as the last one
    assert missing(evaluator, BUDGETS, OpenStudy(study)) is None


def test_a_sweep_that_was_cut_short_goes_on(space: Space) -> None:
    study, evaluator, later = optuna.create_study(), toy(space), Measured()
    plan = missing(evaluator, BUDGETS, OpenStudy(study))
    assert plan is not None
    whole = rates(study, evaluator, Measured())
    store.save(study, store.RATES, store.load(study, store.RATES)[:3])
    store.save(study, store.TRAININGS, store.load(study, store.TRAININGS)[:3])
    again = rates(study, evaluator, later)
    assert len(later.asked) == len(plan.jobs) - 3
    assert again.keys() == whole.keys()


def test_a_run_of_an_older_version_goes_on_at_the_rate_it_had(space: Space) -> None:
    study, policy = optuna.create_study(), space.uniform(0.5)
    record = TrialRecord(0, policy, "uniform", space.flops(policy), 0.5, 0)
    store.save_record(study, study.ask(), record)
    assert missing(toy(space), BUDGETS, OpenStudy(study)) is None
    assert toy(space).specs.in_mode(policy, 3).lr == 0.005
