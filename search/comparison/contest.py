"""The trainings of a comparison: sparse training, the sweep of rates, then every arm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

import prune_ops
from prune_ops import Scores
from results import Comparison, SweepPoint
from results.spending import training_flops
from results.text import plural
from search import cache, log
from search.comparison.config import CompareConfig
from search.comparison.plan import Planned, Schedule, plan, random_source
from search.comparison.rows import Rows
from search.comparison.structures import SLIMMING, Structure, structures
from search.comparison.sweep import sweep, sweep_jobs
from search.engines import Engine
from search.evaluator import Evaluator, Source, Training
from search.finals import Finalist
from search.forecast import foresee_trainings
from search.jobs import TrainingJob
from search.prepare import in_one_unit
from search.progress import Progress
from search.recipes import recipe
from search.train import FINETUNE, FROM_SCRATCH
from spaces import copied
from spaces.errors import ModelError
from spaces.state import set_state

SWEPT = frozenset({"finetune", "random-channels"})
"""The arms that train at the rate which the sweep finds."""


class Contest:
    """Trains structures in arms on an engine and keeps what each training gave.

    >>> contest = Contest(asked, climb, finalists(records, climb, budgets), engine, progress)
    >>> contest.run(load_comparison(study), keep=partial(save_comparison, study))

    Args:
        asked: with a number in the place of every default.
        contenders: the front of every budget and uniform widths.
        folder: the run's, where networks are kept that were trained sparsely for ``slimming``.
    """

    def __init__(
        self,
        asked: CompareConfig,
        evaluator: Evaluator,
        contenders: Sequence[Finalist],
        engine: Engine,
        progress: Progress,
        folder: Path,
    ) -> None:
        self._asked, self._evaluator = asked, evaluator
        self._contenders, self._engine, self._progress = contenders, engine, progress
        self._folder = folder
        self._budgets = list(dict.fromkeys(one.budget for one in contenders))
        self._seeds = [evaluator.config.policies.seed + k for k in range(asked.seeds)]

    def run(self, known: Comparison, keep: Callable[[Comparison], None]) -> Comparison:
        """Train whatever ``known`` has not; ``keep`` sees all there is after every training."""
        so_far = replace(known, options=self._options(), complete=False)
        slim = None
        if "slimming" in self._asked.structures:
            slim, so_far = self._slim(so_far)
            keep(so_far)
        found = self._structures(slim)
        evaluator = replace(self._evaluator, sources=self._sources(slim))
        self._forecast(found, evaluator, so_far)
        points = self._sweep(so_far, keep)
        so_far = replace(so_far, sweep=tuple(points), notes=tuple(self._notes(points)))
        planned = self._plan(found, points, evaluator)
        rows = Rows(planned, self._schedule(points), evaluator, so_far.arms)
        for job, result in self._engine.finals(evaluator, rows.missing):
            log.trained(job, result)
            rows.add(job, result)
            keep(replace(so_far, arms=rows.records))
            self._progress.training()
        comparison = replace(so_far, arms=rows.records, complete=True)
        keep(comparison)
        return comparison

    def _options(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self._asked).items() if name != "anew"}

    def _notes(self, points: Sequence[SweepPoint]) -> Iterator[str]:
        """What a reader must know before believing the figures."""
        rate = recipe(self._evaluator, FROM_SCRATCH).lr
        yield (
            f"training from scratch is at the recipe's learning rate of {rate:g}, which was not "
            "swept; the rate of fine-tuning was"
        )
        own = self._evaluator.recipe.lr
        if any(point.chosen and point.lr != own for point in points):
            yield (
                f"the search's own final trainings were at a learning rate of {own:g}: they and "
                "the verdict on them are not those of this comparison"
            )
        training = self._evaluator.config.training
        if training.surgery != "plain":
            yield (
                f"inherited weights, those of random channels too, went through the surgery of the "
                f"search, {training.surgery}"
            )
        if training.schedule != "one-shot":
            yield (
                "networks of this comparison are pruned at one stroke; the search's finals were "
                "pruned layer by layer and trained after each: they and the verdict on them are "
                "not those of this comparison"
            )
        ends = {min(self._asked.rates), max(self._asked.rates)}
        for point in points:
            if point.chosen and point.lr in ends:
                yield (
                    f"at budget {point.budget} the sweep chose {point.lr:g}, an end of its range: "
                    "a rate beyond it may be better for fine-tuning (--rates)"
                )
        had, base = self._evaluator.task.base_epochs, _number(self._asked.base_epochs)
        if had is not None and had != base:
            yield (
                f"the unpruned network was trained for {had:g} epochs, but training from scratch "
                f"follows a schedule of {base} (--base-epochs): inherited weights cost "
                f"{'more' if had > base else 'less'} than the arms compared with them"
            )
        if had is None:
            yield (
                "how long the unpruned network was trained is not known: its training is counted "
                f"as {plural(base, 'epoch')} (--base-epochs)"
            )

    def _slim(self, known: Comparison) -> tuple[nn.Module, Comparison]:
        """A network of the same class, trained from fresh weights with a penalty on its scales.

        With it what is known, and what the training took.
        """
        evaluator, asked = self._evaluator, self._asked
        sparse = replace(recipe(evaluator, FROM_SCRATCH), sparsity=asked.slimming_sparsity)
        how = Training(sparse, _number(asked.base_epochs), scratch=True, tested=False)
        job = TrainingJob(evaluator.space.full, self._seeds[0], how)
        path = self._folder / f"slimming-{cache.key(how, job.seed)}.pt"
        weights = cache.load(path)
        if weights is None:
            self._progress.say("training the unpruned network sparsely, for slimming")
            (_, result), *_ = self._engine.finals(evaluator, [job])
            if result.failure is not None:
                raise ModelError(
                    f"--structures slimming needs a network that trains sparsely, but it "
                    f"{result.failure.reason}; try another --slimming-sparsity than "
                    f"{asked.slimming_sparsity:g}"
                )
            weights = result.weights
            cache.save(path, weights)
            images, full = len(evaluator.task.train), evaluator.space.full_flops
            flops = training_flops(full, images, how.epochs)
            known = replace(known, sparse_flops=flops, sparse_seconds=result.seconds)
        network = copied(evaluator.task.model)
        set_state(network, weights)
        return network.eval(), known

    def _structures(self, slim: nn.Module | None) -> list[Structure]:
        asked = self._asked
        scales = None if slim is None else self._scores("bn_scale", slim)
        return structures(asked.structures, self._contenders, self._evaluator, scales)

    def _sources(self, slim: nn.Module | None) -> dict[str, Source]:
        """What fine-tuning may inherit besides what the run's criteria leave."""
        asked, sources = self._asked, {}
        for name in {"l1", "thinet"} & set(asked.structures) - set(self._evaluator.scores):
            sources[name] = Source(self._scores(name))
        if slim is not None:
            sources[SLIMMING] = Source(self._scores("bn_scale", slim), slim)
        if "random-channels" in asked.arms:
            for seed in self._seeds:
                sources[random_source(seed)] = Source(self._scores("random", seed=seed))
        return sources

    def _scores(self, criterion: str, model: nn.Module | None = None, seed: int = 0) -> Scores:
        task = self._evaluator.task
        model = model or task.model
        space, batches = self._evaluator.space, task.calibration()
        scores = prune_ops.score(model, space, batches, [criterion], seed=seed)
        return in_one_unit(scores[criterion], criterion)

    def _forecast(
        self, found: Sequence[Structure], evaluator: Evaluator, known: Comparison
    ) -> None:
        planned = self._plan(found, known.sweep, evaluator)
        left = Rows(planned, self._schedule(known.sweep), evaluator, known.arms).missing
        if self._sweeps:
            tries = sweep_jobs(evaluator, self._budgets, self._asked)
            measured = {(point.budget, point.lr) for point in known.sweep}
            left += [job for place, job in tries.items() if place not in measured]
        seconds = foresee_trainings(evaluator, left, self._engine)
        self._progress.begin_trainings(seconds, len(left))

    @property
    def _sweeps(self) -> bool:
        return bool(SWEPT & set(self._asked.arms))

    def _sweep(self, known: Comparison, keep: Callable[[Comparison], None]) -> list[SweepPoint]:
        if not self._sweeps:
            return list(known.sweep)

        def keep_points(points: list[SweepPoint]) -> None:
            keep(replace(known, sweep=tuple(points)))
            self._progress.training()

        return sweep(
            self._evaluator, self._engine, self._budgets, self._asked, known.sweep, keep_points
        )

    def _schedule(self, points: Sequence[SweepPoint]) -> Schedule:
        usual = recipe(self._evaluator, FINETUNE).lr
        rates = {str(budget): usual for budget in self._budgets}
        rates |= {point.budget: point.lr for point in points if point.chosen}
        asked = self._asked
        return Schedule(_number(asked.base_epochs), _number(asked.finetune_epochs), rates)

    def _plan(
        self, found: Sequence[Structure], points: Sequence[SweepPoint], evaluator: Evaluator
    ) -> list[Planned]:
        return plan(found, self._asked.arms, self._seeds, self._schedule(points), evaluator)


def _number(value: int | None) -> int:
    assert value is not None  # it was settled
    return value
