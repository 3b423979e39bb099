"""How long work will take, from a timed part of each kind of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from results.record import Candidate
from results.text import duration, listed, plural
from results.training import RATES
from search.config import SearchConfig
from search.data.splits import Split
from search.engines import Engine
from search.errors import LoopError
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob
from search.speed import seconds_of_timing
from search.stages import Stage
from search.training.capture import LEAST_STEPS
from search.training.hardware import torch_threads
from search.training.loop import evaluate
from search.training.specs import flops_of_training
from spaces import Budget, Space

IMAGES = 1024
"""Images of each split by which an epoch and an evaluation are timed."""
WARM_SECONDS = 5.0
"""What takes less is timed a second time: the first pays for imports and memory too."""
BOOKKEEPING = 0.15
"""Seconds per trial for the sampler and the database, with 48 trials of a small network."""
REPORT_SECONDS = 4.0
"""Seconds of the report: its figures and the import of what draws them, on a slow core."""

BASELINE = "baseline"
TRIALS, TRAININGS, END, REPORT = "trials", "trainings", "times and report", "report"
"""Stages of a search or a comparison."""
NAMES = {
    BASELINE: "training the unpruned network",
    RATES: "finding the learning rates",
    END: "the times and the report",
    REPORT: "the report",
}
"""What a stage is for that is not named by its steps."""


@dataclass(frozen=True, slots=True)
class Speed:
    """The timed parts of trials and trainings, in seconds.

    Attributes:
        epoch: one pass of training over the training images, of ``flops`` multiply-adds for each.
        evaluation: one pass over the validation images.
        test: one over the test images.
        repair: cut a network and repair what is left, before it is trained.
        proxies: measure those of rung 0.
    """

    epoch: float
    evaluation: float
    flops: int
    test: float = 0.0
    repair: float = 0.0
    proxies: float = 0.0

    def of_trainings(self, jobs: Sequence[TrainingJob], space: Space, at_once: int) -> float:
        """Seconds of all these trainings; their time is proportional to their flops.

        Each process repairs a network once, however often it trains it.
        """
        if not jobs:
            return 0.0
        seconds = sum(self._of_training(job, space) for job in jobs)
        repaired = {job.candidate for job in jobs if not job.spec.scratch}
        return seconds / min(at_once, len(jobs)) + self.repair * len(repaired)

    def _of_training(self, job: TrainingJob, space: Space) -> float:
        flops = flops_of_training(space, job.candidate.policy, job.spec)
        return self.epoch * flops / self.flops + self.evaluation + job.tested * self.test

    def of_trials(self, config: SearchConfig, trials: int, at_once: int) -> float:
        """Seconds of so many trials."""
        trial = self.proxies + BOOKKEEPING + reaching(config, 1) * self.repair
        for rung, epochs in enumerate(config.judging.rungs, start=1):
            trial += reaching(config, rung) * (epochs * self.epoch + self.evaluation)
        return trials * trial / at_once

    def of_the_end(self, evaluator: Evaluator, budgets: int) -> float:
        """Seconds of what follows the trainings: the unpruned network's test, the times of the
        networks that compete, and the report."""
        image = self.evaluation / len(evaluator.task.validation)
        timed = seconds_of_timing(image, networks=1 + 3 * budgets)
        return self.evaluation + self.test + timed + REPORT_SECONDS


def reaching(config: SearchConfig, rung: int) -> float:
    """About the share of trials that reach a rung.

    One in ``eta`` would be promoted if all came in any order. A search finds better ones as it goes
    on: of 48 trials on digits, with ``eta`` 2, 0.67 reach rung 1 and 0.48 rung 2.
    """
    judging = config.judging
    return float(judging.explore + (1 - judging.explore) / judging.eta**0.5) ** rung


def measured_speed(evaluator: Evaluator, budget: Budget, engine: Engine) -> Speed:
    """Time a part of an epoch with uniform widths, a part of an evaluation, and what is done with a
    network before, on this machine.

    What fails is timed up to its failure, which the search itself will report.

    Raises:
        LoopError: the user's own loop fails, which every training would: none need be begun.
    """
    task, specs, policy = evaluator.task, evaluator.specs, evaluator.space.uniform(budget)
    spec = replace(specs.in_mode(policy, 1), epochs=1)
    config, batch_size = evaluator.config, specs.recipe(spec).batch_size
    part, share = task.train, 1.0
    if not specs.own_loop:  # the part gets the batch size of the whole set, not that of small ones
        config = config.having(batch_size=batch_size)
        replayed = task.device.type == "cuda" and config.run.replayed
        enough = 2 * LEAST_STEPS * batch_size  # half of them may be the recording's
        part, share = _part(task.train, max(IMAGES, enough) if replayed else IMAGES)
    shortened = replace(evaluator, task=replace(task, train=part), config=config)
    plain = spec if spec.scratch else specs.with_surgery(spec, "plain")  # repair is timed apart
    candidate = Candidate(policy)
    with torch_threads(engine.threads):
        epoch = timed(lambda: shortened.trained(candidate, plain, seed=0)) * share
        repair = 0.0 if spec.scratch else timed(lambda: evaluator.pruned(candidate))
        proxies = timed(lambda: evaluator.evaluate_rung(candidate, 0, seed=0))
        images, images_share = _part(task.validation)
        evaluation = timed(lambda: evaluate(task.model, images, metric=task.metric)) * images_share
    flops = flops_of_training(evaluator.space, policy, spec)
    test = evaluation * len(task.test) / len(task.validation)  # which is read at the end alone
    return Speed(epoch, evaluation, flops, test, repair, proxies)


def timed(work: Callable[[], object]) -> float:
    """Seconds that work takes, imports and first allocations apart."""
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        try:
            work()
        except Exception as error:  # anything: a network, data or a loop of the user's
            if isinstance(error, LoopError):
                raise
        seconds = time.perf_counter() - started
        if seconds > WARM_SECONDS:
            break
    return seconds


def _part(split: Split, images: int = IMAGES) -> tuple[Split, float]:
    """Some images of a split, and how many times as many it has."""
    if len(split) <= images:
        return split, 1.0
    held = split.indexable()
    images = min(images, len(held))
    return held.subset(torch.arange(images)), len(split) / images


def told(stages: Iterable[Stage], so_far: float) -> str:
    """One line: how long all stages will take, and each of them."""
    left = {stage: seconds for stage in stages if (seconds := stage.seconds_left())}
    parts = [f"{duration(seconds)} for {_in_words(stage)}" for stage, seconds in left.items()]
    whole = duration(sum(left.values()))
    return f"forecast: about {whole} from here ({duration(so_far)} so far): {listed(parts)}"


def _in_words(stage: Stage) -> str:
    """``24 trials``, ``about 9 trainings``, or what else a stage is for."""
    if stage.name in NAMES:
        return NAMES[stage.name]
    steps = plural(stage.steps - stage.done, stage.name.removesuffix("s"))
    steps = f"about {steps}" if stage.estimated else steps
    return steps if stage.fits else f"as many of {steps} as fit in"
