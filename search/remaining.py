"""What a search has still to do, in stages, and how long each will take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from prune_ops import WAYS
from results import TrialRecord, load_records, store
from results.record import Candidate
from results.training import BASELINES, FINALS, GAINS, RATES, REPEATS
from search import gpu_memory, sweeping
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob
from search.forecast import END, TRAININGS, TRIALS, Speed, measured_speed, reaching, told
from search.plans import compression_baselines, finals, gains, repeats
from search.plans.finals import Finals, finalists
from search.plans.gains import GainSteps
from search.plans.repeats import Repeats
from search.plans.sweep import Sweep
from search.session import Session
from search.stages import Stage
from search.time_limit import TimeLimit, no_trials
from search.training.trainer import Trainer
from spaces import Budget


def forecast(s: Session, limit: TimeLimit) -> TimeLimit:
    """Say how long the rest of the command will take, and begin to show its progress.

    Returns:
        The limit, with a reserve for what follows the trials.
    """
    progress = s.run.progress
    progress.waiting("measuring how long a training takes")
    speed = measured_speed(s.evaluator, s.run.budgets[0], s.run.engine)
    rest, sweep, at_once = following(s), sweep_of(s), s.run.engine.at_once
    progress.begin(stages(rest, speed, sweep, at_once))
    limit = limit.reserving(partial(progress.stages.seconds_left, after=TRIALS))
    if cannot_try := limit.reached and rest.to_come > 0:
        progress.begin(stages(replace(rest, tries=False), speed, sweep, at_once))
    progress.stages[TRIALS].ends_at = limit.ends_at - limit.reserve()
    progress.say(told(progress.stages, progress.seconds))
    if s.run.config.run.engine == "local":
        gpu_memory.tell(progress, s.run.task.device, s.run.engine.at_once)
    if cannot_try:
        progress.warn(no_trials(progress.stages.seconds_left(), limit))
    return limit


def following(s: Session) -> Following:
    """The trainings that follow the trials of a run."""
    study = s.opened.study
    return Following(
        evaluator=s.evaluator,
        budgets=s.run.budgets,
        trainer=s.trainer(),
        records=load_records(study),
        repeated=store.load(study, store.REPEATS),
        compressed=sum(row.way in WAYS for row in store.load(study, store.BASELINES)),
    )


def sweep_of(s: Session) -> Sweep | None:
    """The sweep of learning rates that a run still needs."""
    return sweeping.missing(s.evaluator, s.run.budgets, s.opened)


def with_rates(s: Session) -> Session:
    """The session with the learning rates of the run."""
    if (plan := sweep_of(s)) is None:
        return s
    rates = sweeping.found(plan, s.opened, s.trainer, s.run.progress)
    return replace(s, evaluator=replace(s.evaluator, rates=rates))


def stages(following: Following, speed: Speed, sweep: Sweep | None, at_once: int) -> list[Stage]:
    """The stages of a search, with what an earlier process has done of them."""
    evaluator, jobs = following.evaluator, following.jobs
    space, trials = evaluator.space, evaluator.config.policies.trials
    rates = following.trainer.missing(sweep.jobs if sweep else ())
    seconds = speed.of_trials(evaluator.config, trials, at_once)
    return [
        Stage(RATES, len(rates), speed.of_trainings(rates, space, at_once)),
        Stage(TRIALS, trials, seconds, trials - following.to_come),
        Stage(
            TRAININGS,
            len(jobs),
            speed.of_trainings(jobs, space, at_once),
            estimated=following.to_find > 0,
        ),
        Stage(END, 1, speed.of_the_end(evaluator, len(following.budgets))),
    ]


@dataclass(frozen=True, kw_only=True)
class Following:
    """The trainings that follow the trials, as far as they can be known before.

    Those of the front so far are known. Any of all trials may be the best, so of the networks that
    a search is expected to find (`finals.EXPECTED`) the share is still to be found that the trials
    to come are of all trials.

    Attributes:
        records: of the trials so far.
        repeated: the repeats so far.
        compressed: how many compression baselines were trained.
        tries: whether there will be trials besides uniform widths.
    """

    evaluator: Evaluator
    budgets: Sequence[Budget]
    trainer: Trainer
    records: Sequence[TrialRecord]
    repeated: Sequence[TrialRecord] = ()
    compressed: int = 0
    tries: bool = True

    @property
    def jobs(self) -> list[TrainingJob]:
        """About those jobs that have no record yet."""
        return [job for jobs in self.by_purpose.values() for job in jobs]

    @property
    def by_purpose(self) -> dict[str, list[TrainingJob]]:
        """The same by what they are for, in the order in which they are done."""
        return {
            REPEATS: [*self._repeats()],
            FINALS: [*self._finals()],
            GAINS: [*self._gains()],
            BASELINES: [*self._compression_baselines()],
        }

    @property
    def to_come(self) -> int:
        """How many trials are still to end."""
        ended = sum(record.state != "running" for record in self.records)
        return max(0, self.evaluator.config.policies.trials - ended)

    @property
    def to_find(self) -> int:
        """How many of them may find a network that is trained to the end."""
        return self.to_come if self.tries else 0

    def _repeats(self) -> Iterator[TrainingJob]:
        known = Repeats(self.records, self.evaluator, self.repeated).jobs
        yield from self.trainer.missing(known)
        at_the_top = math.ceil(self.to_find * reaching(self.evaluator.config, self.evaluator.top))
        every = repeats.expected(
            self.evaluator, Candidate(self.evaluator.space.uniform(self.budgets[0]))
        )
        yield from every[len(known) :][:at_the_top]

    def _finals(self) -> Iterator[TrainingJob]:
        yield from self.trainer.missing(self._of_front(self.records).jobs)
        every, fixed = finals.expected(self.evaluator, self.budgets), self._of_front(()).jobs
        yield from self._new(every[len(fixed) :])

    def _gains(self) -> Iterator[TrainingJob]:
        yield from self.trainer.missing(GainSteps(self._of_front(self.records)).jobs)
        every, fixed = (
            gains.expected(self.evaluator, self.budgets),
            GainSteps(self._of_front(())).jobs,
        )
        yield from self._new(every[len(fixed) :])

    def _compression_baselines(self) -> Sequence[TrainingJob]:
        every = compression_baselines.expected(self.evaluator)
        return max(every[self.compressed :], self._new(every), key=len)

    def _of_front(self, records: Sequence[TrialRecord]) -> Finals:
        return Finals(finalists(records, self.evaluator, self.budgets), self.evaluator)

    def _new(self, found: Sequence[TrainingJob]) -> Sequence[TrainingJob]:
        """Of the jobs of searched networks those whose networks are still to be found."""
        return found[: round(len(found) * self.to_find / self.evaluator.config.policies.trials)]
