"""The finals: the front and uniform widths, trained for longer with several seeds, and tested.

The test split is read here: once by every network that was trained, and once by the baseline.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

import prune_ops
from prune_ops import artifact
from results import FinalRecord, TrialRecord, trial_front
from results.decision import UNPRUNED
from results.pareto import finished
from results.record import Candidate
from results.training import FINALS, TrainingRecord
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, TrainingResult
from search.training.layerwise import layer_flops, stages
from search.training.loop import evaluate, on_test_split
from search.training.trainer import Known, Weights, failed, successes
from spaces import Budget, ModelError, Policy, UserError
from spaces.errors import in_one_line
from spaces.slicing import origin
from spaces.state import set_state

MOST = 4
"""The most policies of each budget's front that are trained, the best one among them."""

EXPECTED = 3
"""Networks per budget that a forecast expects in the finals, uniform widths among them."""


UNPRUNED_ROW = "baseline"
"""The name of the unpruned network's row."""


@dataclass(frozen=True, slots=True)
class Finalist:
    """A candidate to be trained to the end, and the budget it belongs to.

    Attributes:
        number: number of its trial; None for uniform widths.
        best: whether it represents its budget in the verdict.
    """

    name: str
    candidate: Candidate
    budget: Budget
    number: int | None = None
    best: bool = False

    @property
    def folder(self) -> str:
        """Its name in a run's ``models/``: the trial's number, or ``uniform-<budget>``."""
        return f"uniform-{self.budget}" if self.number is None else str(self.number)


def finalists(
    records: Sequence[TrialRecord],
    evaluator: Evaluator,
    budgets: Sequence[Budget],
    most: int = MOST,
) -> list[Finalist]:
    """At every budget: the front, the most accurate policy first, then uniform widths.

    A policy belongs to the tightest budget it meets. The best is chosen on the validation split, at
    the top rung. Where criteria were searched, so is the criterion of uniform widths, lest the
    search win by the criterion alone.
    """
    chosen = []
    limits = {budget: evaluator.space.limit(budget) for budget in budgets}
    for budget, limit in limits.items():
        tighter = max((other for other in limits.values() if other < limit), default=-1)
        front = trial_front([r for r in records if tighter < r.size <= limit])
        for rank, record in enumerate(reversed(front[-most:])):
            candidate = Candidate(record.policy, record.criterion)
            name, best = f"trial {record.number}", rank == 0
            chosen.append(Finalist(name, candidate, budget, record.number, best))
        uniform = evaluator.space.uniform(budget)
        criterion = _best_criterion(uniform, records) or evaluator.config.reference
        chosen.append(Finalist(f"uniform@{budget}", Candidate(uniform, criterion), budget))
    return chosen


def _best_criterion(policy: Policy, records: Sequence[TrialRecord]) -> str | None:
    """The criterion under which the policy was most accurate at the top rung, if it got there."""
    trained = [r for r in finished(records) if r.policy == policy]
    best = max(trained, key=lambda r: r.val_accuracy, default=None)
    return None if best is None else best.criterion


class Finals:
    """The plan of the finals; the first row is the baseline's.

    Args:
        contenders: in the order of the rows.
        baseline: the record of the unpruned network, if it was tested before.
    """

    purpose = FINALS

    def __init__(
        self,
        contenders: Sequence[Finalist],
        evaluator: Evaluator,
        baseline: FinalRecord | None = None,
    ) -> None:
        self.contenders, self.evaluator, self._tested = contenders, evaluator, baseline

    @cached_property
    def jobs(self) -> list[TrainingJob]:
        """All with the first seed first, so that finals that are cut short can be compared."""
        seeds = self.evaluator.specs.final_seeds
        return [self.job(finalist, seed) for seed in seeds for finalist in self.contenders]

    def job(self, finalist: Finalist, seed: int) -> TrainingJob:
        """The training of a finalist with a seed."""
        spec = self.evaluator.specs.final(finalist.candidate.policy)
        return TrainingJob(finalist.candidate, spec, seed, returns_weights=True)

    def trained(self, finalist: Finalist, known: Known) -> list[TrainingRecord]:
        """Its trainings that succeeded, by seed in the config's order."""
        seeds = self.evaluator.specs.final_seeds
        return successes((self.job(finalist, seed) for seed in seeds), known)

    def rows(self, known: Known) -> list[FinalRecord]:
        """The baseline, then every finalist that was trained with some seed."""
        pairs = [(finalist, self.trained(finalist, known)) for finalist in self.contenders]
        return [self._baseline, *(self._row(f, trained) for f, trained in pairs if trained)]

    def rivals(self) -> dict[str, nn.Module]:
        """The unpruned network and all that compete, by their names.

        Their weights are those before training.
        """
        cut = {f.name: self.evaluator.pruned(f.candidate, "plain") for f in self.contenders}
        return {UNPRUNED_ROW: self.evaluator.task.model, **cut}

    def failures(self, known: Known) -> Iterator[str]:
        """One line for every finalist that could not be trained with some seed."""
        for seed in self.evaluator.specs.final_seeds:
            for finalist in self.contenders:
                yield from failed(finalist.name, known(self.job(finalist, seed)))

    def _row(self, finalist: Finalist, trained: Sequence[TrainingRecord]) -> FinalRecord:
        space, policy = self.evaluator.space, finalist.candidate.policy
        spec, flops = trained[0].spec, space.flops(policy)
        return FinalRecord(
            name=finalist.name,
            role="uniform" if finalist.number is None else "searched",
            budget=str(finalist.budget),
            number=finalist.number,
            policy=policy,
            criterion=finalist.candidate.criterion,
            flops=flops,
            flops_fraction=flops / space.full_flops,
            params=space.params(policy),
            seeds=tuple(record.seed for record in trained),
            val_accuracy=tuple(record.val_accuracy for record in trained),
            test_accuracy=tuple(record.test_accuracy for record in trained),
            by_class=tuple(record.by_class for record in trained),
            seconds=tuple(record.seconds for record in trained),
            epochs=spec.epochs,
            layer_epochs=spec.layer_epochs * len(list(stages(space, policy))),
            layer_flops=layer_flops(space, policy, spec.layer_epochs),
            mode=self.evaluator.config.training.train,
            best=finalist.best,
        )

    @cached_property
    def _baseline(self) -> FinalRecord:
        if self._tested is not None:
            return self._tested
        task, space = self.evaluator.task, self.evaluator.space
        must = "the unpruned network must be tested, but that failed with"
        with in_one_line(ModelError, must, "check its weights and the images"):
            validated = evaluate(task.model, task.validation, metric=task.metric)
            judged = task.metric, task.classifies
            tested, by_class = on_test_split(task.model, task.test, *judged)
        return FinalRecord(
            name=UNPRUNED_ROW,
            role="baseline",
            budget=None,
            number=None,
            policy=None,
            flops=space.full_flops,
            flops_fraction=1.0,
            params=space.full_params,
            seeds=(self.evaluator.config.policies.seed,),
            val_accuracy=(validated,),
            test_accuracy=(tested,),
            by_class=(by_class,),
        )


class SavedNetworks(Weights):
    """The networks that compete, in a run's folder, as trained with their first seeds.

    Args:
        folder: gets a subfolder for each, see `Finalist.folder` and `prune_ops.save`.
    """

    def __init__(self, finals: Finals, folder: Path) -> None:
        self._finals, self._folder = finals, folder

    def has(self, job: TrainingJob, known: Known) -> bool:
        """Whether every network that is to be saved from the job is."""
        return not any(
            self._is_lost(finalist)
            for finalist in self._from(job)
            if job.seed == self._finals.trained(finalist, known)[0].seed
        )

    def copy_from(self, folder: Path, known: Known) -> None:
        """Copy networks that are missing here from another folder of the same run, if it is within
        reach and has just those that were trained.

        Args:
            folder: ``models/`` of the process that trained the finals before.
        """
        for finalist in self._finals.contenders:
            trained = self._finals.trained(finalist, known)
            if trained and self._is_lost(finalist):
                there, here = (each / finalist.folder for each in (folder, self._folder))
                if _is_whole(there, finalist.candidate.policy) and _is_of(there, trained[0]):
                    shutil.copytree(there, here, dirs_exist_ok=True)

    def lost(self, known: Known) -> list[str]:
        """The subfolders of networks that were trained, but are missing or damaged."""
        trained = [f for f in self._finals.contenders if self._finals.trained(f, known)]
        return [f"{self._folder.name}/{f.folder}" for f in trained if self._is_lost(f)]

    def _is_lost(self, finalist: Finalist) -> bool:
        return not _is_whole(self._folder / finalist.folder, finalist.candidate.policy)

    def save(self, job: TrainingJob, result: TrainingResult, known: Known) -> None:
        """Save the network if no earlier seed of it was trained."""
        for finalist in self._from(job):
            if job.seed == self._finals.trained(finalist, known)[0].seed:
                self._save(finalist, job, result)

    def save_unpruned(self) -> None:
        """Save the network that all others were cut from."""
        task, space = self._finals.evaluator.task, self._finals.evaluator.space
        if not (self._folder / UNPRUNED).is_dir():
            before = origin(task.model)  # a network that was pruned before says by which policy
            widths = space.full if before is None else before.widths or space.full
            policy = Policy(widths)
            prune_ops.save(self._folder / UNPRUNED, task.model, policy, {}, task.example)

    def _save(self, finalist: Finalist, job: TrainingJob, result: TrainingResult) -> None:
        evaluator, candidate = self._finals.evaluator, job.candidate
        network = evaluator.pruned(candidate, "plain")
        set_state(network, result.weights)
        about = {
            "criterion": candidate.criterion,
            "seed": job.seed,
            "epochs": job.spec.epochs,
            "val_accuracy": result.val_accuracy,
        }
        folder = self._folder / finalist.folder
        prune_ops.save(folder, network, candidate.policy, about, evaluator.task.example)

    def _from(self, job: TrainingJob) -> list[Finalist]:
        return [f for f in self._finals.contenders if f.candidate == job.candidate]


def _is_whole(folder: Path, policy: Policy) -> bool:
    """Whether a saved network is there, and of that policy."""
    try:
        there = all(file.stat().st_size for file in artifact.files(folder))
        return there and prune_ops.load_policy(folder) == policy
    except (OSError, UserError):
        return False


def _is_of(folder: Path, training: TrainingRecord) -> bool:
    """Whether a saved network came out of that training."""
    about = json.loads((folder / "policy.json").read_text())["info"]
    return bool(
        (about.get("seed"), about.get("epochs"), about.get("val_accuracy"))
        == (training.seed, training.spec.epochs, training.val_accuracy)
    )


def also_named(folder: Path, name: str, source: str) -> None:
    """Let a network in ``folder`` have a second name: a link, or a copy where links cannot be."""
    second = folder / name
    if second.is_symlink():
        second.unlink()
    elif second.exists():
        shutil.rmtree(second)
    try:
        second.symlink_to(source, target_is_directory=True)
    except OSError:
        shutil.copytree(folder / source, second)


def expected(evaluator: Evaluator, budgets: Sequence[Budget]) -> list[TrainingJob]:
    """About the jobs there will be, as known before the search: all with uniform widths."""
    uniform = Finalist("uniform", Candidate(evaluator.space.uniform(budgets[0])), budgets[0])
    return Finals([uniform] * EXPECTED * len(budgets), evaluator).jobs
