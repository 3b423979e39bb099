"""A comparison: sparse training for slimming, the sweep of rates, then every arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from torch import nn

from results import ARMS, Comparison, load_records, store
from results.record import Candidate
from results.training import COMPARISON, SPARSE, SWEEP, TrainingSpec
from search import gpu_memory
from search.comparison.arms import Arms, EpochsAndRates
from search.comparison.config import CompareConfig
from search.comparison.full import added, fuller, offer, possible, seconds_of
from search.comparison.notes import notes
from search.comparison.resuming import check_options
from search.comparison.sources import scores_by, slimmed, sources_of
from search.comparison.structures import SLIMMING, Structure, structures
from search.evaluation.jobs import TrainingJob
from search.forecast import REPORT, REPORT_SECONDS, TRAININGS, measured_speed, told
from search.plans.finals import finalists
from search.plans.sweep import Sweep, check_chosen
from search.session import Session
from search.stages import Stage
from search.training.trainer import carry_out


class Comparer:
    """Trains what a comparison needs and stores its results so far.

    Args:
        options: settled, with a number for every default.
    """

    def __init__(self, s: Session, options: CompareConfig) -> None:
        self._s = s
        self._options, self._left_out = possible(options, s.evaluator, s.run.budgets)
        self._full, _ = possible(fuller(options), s.evaluator, s.run.budgets)
        self._trainer = s.trainer()
        own_loop = s.evaluator.specs.own_loop
        self._sweeps = not own_loop and any(ARMS[name].swept for name in self._options.arms)
        self._so_far = Comparison()

    def run(self, anew: bool) -> None:
        """Do the missing trainings; the study has all results after every one."""
        self._begin(anew)
        s, options, trainer = self._s, self._options, self._trainer
        slim = self._slimmed() if SLIMMING in options.structures else None
        trainer.offer(sources_of(options, self._seeds(options), s.evaluator, slim))
        compared = self._structures(options, slim)
        self._forecast(compared)
        for line in (*self._left_out, self._of_full(compared, slim)):
            if line:
                s.run.progress.say(line)
        tick = partial(s.run.progress.advance, TRAININGS)
        if self._sweeps:
            points = carry_out(self._sweep(), trainer, lambda p: self._keep(sweep=tuple(p)), tick)
            check_chosen(points)
        base = _number(options.base_epochs)
        caveats = notes(self._so_far.sweep, options, base, s.evaluator)
        self._keep(notes=(*caveats, *self._left_out))
        plan = self._arms(compared, options)
        carry_out(plan, trainer, lambda rows: self._keep(arms=tuple(rows)), tick)
        self._keep(complete=True, not_compared=self._of_full(compared, slim))

    def planned(self, anew: bool) -> dict[str, list[TrainingJob]]:
        """What `run` would train, by its purpose; nothing is trained. Slimming's own widths follow
        from a training, so the unpruned network stands for that one."""
        self._begin(anew)
        options, slim, sparse = self._options, None, []
        if SLIMMING in options.structures:
            slim, full = self._s.evaluator.task.model, Candidate(self._s.evaluator.space.full)
            seed = self._seeds(options)[0]
            sparse = [TrainingJob(full, self._sparse, seed, tested=False, returns_weights=True)]
        jobs = {
            SPARSE: sparse,
            SWEEP: self._sweep().jobs if self._sweeps else [],
            COMPARISON: self._arms(self._structures(options, slim), options).jobs,
        }
        return {purpose: self._trainer.missing(each) for purpose, each in jobs.items()}

    def _begin(self, anew: bool) -> None:
        s, earlier = self._s, store.load(self._s.opened.study, store.COMPARISON)
        if anew:
            reads = self._trainer.forget((COMPARISON, SWEEP))
            earlier = Comparison(earlier_reads=earlier.earlier_reads + reads)
        else:
            check_options(earlier, self._options, s.run.folder)
        spoken = ("anew", "full")  # of this command alone
        options = {name: v for name, v in asdict(self._options).items() if name not in spoken}
        self._so_far = earlier
        self._keep(options=options, complete=False)

    def _slimmed(self) -> nn.Module:
        s, seed = self._s, self._seeds(self._options)[0]
        folder, say = s.run.folder.path, s.run.progress.say
        return slimmed(s.evaluator, self._trainer, self._sparse, seed, folder, say)

    @property
    def _sparse(self) -> TrainingSpec:
        """How slimming trains the unpruned architecture."""
        return TrainingSpec(
            self._s.evaluator.specs.usual_rate(scratch=True),
            _number(self._options.base_epochs),
            scratch=True,
            sparsity=self._options.slimming_sparsity,
        )

    def _seeds(self, options: CompareConfig) -> list[int]:
        return [self._s.run.config.policies.seed + k for k in range(options.seeds)]

    def _structures(self, options: CompareConfig, slim: nn.Module | None) -> list[Structure]:
        s = self._s
        scales = None if slim is None else scores_by("bn_scale", s.evaluator, slim)
        front = finalists(load_records(s.opened.study), s.evaluator, s.run.budgets, options.front)
        return structures(options.structures, front, s.evaluator, scales)

    def _sweep(self) -> Sweep:
        options = self._options
        lengths = {0: _number(options.sweep_epochs)}
        return Sweep(self._s.evaluator, self._s.run.budgets, options.rates, lengths)

    def _arms(self, compared: Sequence[Structure], options: CompareConfig) -> Arms:
        evaluator = self._s.evaluator
        usual = evaluator.specs.usual_rate(scratch=False)
        rates = {str(budget): usual for budget in self._s.run.budgets}
        rates |= {point.budget: point.lr for point in self._so_far.sweep if point.chosen}
        epochs = EpochsAndRates(
            _number(options.base_epochs), _number(options.finetune_epochs), rates
        )
        seeds, earlier = self._seeds(options), self._so_far.arms
        return Arms(compared, options.arms, seeds, epochs, evaluator, earlier)

    def _forecast(self, compared: Sequence[Structure]) -> None:
        s, engine = self._s, self._s.run.engine
        jobs = self._jobs(compared)
        missing = self._trainer.missing(jobs)
        seconds = 0.0
        if missing:
            speed = measured_speed(s.evaluator, s.run.budgets[0], engine)
            seconds = speed.of_trainings(missing, s.run.space, engine.at_once)
        stages = [
            Stage(TRAININGS, len(missing), seconds),
            Stage(REPORT, 1, REPORT_SECONDS),
        ]
        s.run.progress.begin(stages)
        s.run.progress.say(told(stages, s.run.progress.seconds))
        if missing and s.run.config.run.engine == "local":
            gpu_memory.tell(s.run.progress, s.run.task.device, engine.at_once)

    def _jobs(self, compared: Sequence[Structure]) -> list[TrainingJob]:
        swept = self._sweep().jobs if self._sweeps else []
        return [*swept, *self._arms(compared, self._options).jobs]

    def _of_full(self, compared: Sequence[Structure], slim: nn.Module | None) -> str:
        """What ``--full`` would add to these structures, in one line; empty for nothing."""
        s, full = self._s, self._full
        if not (what := added(self._options, full)):
            return ""
        if SLIMMING in full.structures:  # its own widths are known once it is trained
            slim = slim or s.evaluator.task.model
        own = self._jobs(compared)
        plan = self._arms(self._structures(full, slim), full)
        mine = set(own)
        swept = [] if s.evaluator.specs.own_loop else self._sweep().jobs
        missing = self._trainer.missing([*own, *swept, *plan.jobs])
        more = [job for job in missing if job not in mine]
        at_once = s.run.engine.at_once
        return offer(what, len(more), seconds_of(more, self._trainer.records, s.evaluator, at_once))

    def _keep(self, **changes: Any) -> None:
        self._so_far = replace(self._so_far, **changes)
        store.save(self._s.opened.study, store.COMPARISON, self._so_far)


def _number(value: int | None) -> int:
    assert value is not None  # the options are settled
    return value
