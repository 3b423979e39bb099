"""The evaluator: prunes a candidate, then judges it at a rung or trains it to the end."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops import (
    PROXIES,
    SURGERIES,
    Compression,
    PrunedCandidate,
    Pruner,
    Scores,
    pruner,
    reconstructor,
    select,
    without_parametrization,
)
from results.record import NOT_COUNTED, Candidate, TrialRecord
from results.rules import tolerance
from results.training import TrainingSpec
from search import cache
from search.config import SearchConfig
from search.data.splits import Batch
from search.evaluation.jobs import RungResult, TrainingJob, TrainingResult, WeightSource, failure_of
from search.evaluation.repairing import images_to_train_on
from search.evaluation.rungs import DominanceRule
from search.models import reinitialise
from search.task.task import Task
from search.training.checkpoints import NOWHERE, Checkpoint, Checkpoints, copied_to_cpu
from search.training.distillation import Teacher
from search.training.layerwise import Layerwise
from search.training.loop import evaluate, on_test_split, train
from search.training.own_loop import train_by
from search.training.specs import Specs
from spaces import Space, copied
from spaces.state import state_of

ADAPTING = 2048, 64
"""Images that proxies calibrate on, and images of one batch: adaptive BatchNorm takes all 32."""

RECONSTRUCT = "reconstruct"

REMEMBERED = 8
"""Repaired networks that a process keeps."""

STAGE_SEEDS = 2**32
"""Distance of the seeds of a training's stages, so that no two trainings share one."""


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Measures any rung of any candidate, or trains it to the end; can be pickled.

    >>> evaluator = Evaluator(task=task, space=space, scores={"l1": scores["l1"]}, config=config)
    >>> evaluator.evaluate_rung(candidate, rung=0, seed=1).proxies
    {'predicted_damage': -0.0021, 'adaptive_bn': 0.9331}
    >>> evaluator.evaluate_rung(candidate, rung=1, seed=1).accuracy
    0.9610

    Every rung starts from the unpruned network again and anneals its own learning rate, so the
    accuracy at a rung means the same for every policy, whatever rungs came before.

    Attributes:
        scores: of every criterion that may choose channels, each in one unit.
        checkpoints: where long trainings are saved, to go on after a kill.
        sources: what else trainings may inherit, by name.
        damages: for the proxy ``iso_damage``, see `prune_ops.PrunedCandidate`.
        rates: the learning rates that a sweep chose, by budget and epochs; see `Specs`.
    """

    task: Task
    space: Space
    scores: Mapping[str, Scores]
    config: SearchConfig
    checkpoints: Checkpoints = NOWHERE
    sources: Mapping[str, WeightSource] = field(default_factory=dict)
    damages: Mapping[str, Tensor] = field(default_factory=dict)
    rates: Mapping[tuple[str, int], float] = field(default_factory=dict)

    @cached_property
    def specs(self) -> Specs:
        """The specs and recipes of the run's trainings."""
        own = self.task.train_loop is not None
        return Specs(self.config, self.space, len(self.task.train), self.rates, own)

    @property
    def top(self) -> int:
        """The highest rung."""
        return len(self.config.judging.rungs)

    @property
    def rule(self) -> DominanceRule:
        """The rule of promotion from a rung below the top."""
        judging = self.config.judging
        full = self.space.cost(self.config.limited, self.space.full)
        return DominanceRule(judging.eta, judging.explore, tolerance(full))

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: each process draws images and prepares surgeries for itself."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def on(self, device: torch.device) -> Evaluator:
        """The same on another device."""
        sources = {name: source.on(device) for name, source in self.sources.items()}
        return replace(self, task=self.task.to(device), sources=sources)

    def check_readable(self) -> None:
        """Read an image of every split; the user's own data may raise anything."""
        for split in (self.task.train, self.task.validation, self.task.test):
            next(iter(split.batches(1)))

    def score(self, record: TrialRecord, rung: int) -> float:
        """The score that decides at a rung: a proxy at rung 0, accuracy above."""
        if rung:
            return record.accuracy[rung - 1]
        return record.proxies[self.config.judging.rank_by]

    def evaluate_rung(self, candidate: Candidate, rung: int, seed: int) -> RungResult:
        """Measure one rung. Never raises: what goes wrong is part of the result."""
        started = time.perf_counter()
        try:
            if rung:
                result = self._train_briefly(candidate, rung, seed)
            else:
                result = RungResult(0, 0.0, proxies=self._proxies(candidate))
        except Exception as error:
            result = RungResult(rung, 0.0, failure=failure_of(error))
        seconds = time.perf_counter() - started
        return replace(result, seconds=seconds, not_replayed=self._why_not_replayed())

    def train_final(self, job: TrainingJob) -> TrainingResult:
        """Train a network to the end and test it if the job says so. Never raises."""
        started = time.perf_counter()
        try:
            result = self._train_and_test(job)
        except Exception as error:
            result = TrainingResult(0.0, failure=failure_of(error))
        seconds = time.perf_counter() - started
        return replace(result, seconds=seconds, not_replayed=self._why_not_replayed())

    def pruned(
        self, candidate: Candidate, surgery: str | None = None, judged: bool = False
    ) -> nn.Module:
        """The candidate's network, with the weights that it inherits.

        Args:
            surgery: None for the run's own; plain is quicker where only shapes matter.
            judged: repaired on few images, as it is not trained; see `search.evaluation.repairing`.
        """
        source = self._source(candidate)
        surgery = surgery or self.config.training.surgery
        key = self._source_name(candidate) if source.model else "", surgery, judged
        if key not in self._pruners:
            model = source.model or self.task.model
            batches: Sequence[Batch] = ()
            if SURGERIES[surgery].needs_images:
                batches = self.task.calibration() if judged else self._surgery_batches
            self._pruners[key] = pruner(model, self.space, surgery, batches)
        return self._pruners[key](candidate.policy, source.scores)

    def trained(self, candidate: Candidate, spec: TrainingSpec, seed: int) -> nn.Module:
        """The candidate's network after training.

        A training that ``checkpoints`` has a state of goes on from there.

        Raises:
            Diverged: the loss became NaN or infinite.
        """
        layerwise = self._layerwise(candidate, spec, seed) if spec.layer_epochs else None
        if layerwise is not None:
            network = layerwise.run()
        elif spec.scratch:
            network = reinitialise(self.pruned(candidate, "plain"), seed)
        else:
            network = self._repaired(candidate, self._surgery(spec))
        if spec.way:
            network = Compression(spec.way, spec.zeros).of(network)
        self._train(network, spec, spec.epochs, seed, self._checkpoint(candidate, spec, seed))
        if layerwise is not None:
            layerwise.drop()
        return without_parametrization(network) if spec.way else network

    def _repaired(self, candidate: Candidate, surgery: str) -> nn.Module:
        """As `pruned`, but remembered for the next training of the same network."""
        key = candidate.policy, self._source_name(candidate), surgery
        if key not in self._latest:
            self._latest[key] = self.pruned(candidate, surgery)
        self._latest.move_to_end(key)
        while len(self._latest) > REMEMBERED:
            self._latest.popitem(last=False)
        return copied(self._latest[key])

    def _train_briefly(self, candidate: Candidate, rung: int, seed: int) -> RungResult:
        spec = self.specs.in_mode(candidate.policy, self.config.judging.rungs[rung - 1])
        network = self.trained(candidate, spec, seed)
        accuracy = self._validated(network)
        return RungResult(rung, 0.0, accuracy=accuracy, epochs=spec.epochs)

    def _train_and_test(self, job: TrainingJob) -> TrainingResult:
        spec = job.spec
        network = self.trained(job.candidate, spec, job.seed)
        validated = self._validated(network)
        tested, by_class = math.nan, NOT_COUNTED
        if job.tested:
            judged = self.task.metric, self.task.classifies
            tested, by_class = on_test_split(network, self.task.test, *judged)
        return TrainingResult(
            0.0,
            validated,
            tested,
            copied_to_cpu(state_of(network)) if job.returns_weights else {},
            size=Compression(spec.way, spec.zeros).size(network) if spec.way else None,
            by_class=by_class,
        )

    def _train(
        self, network: nn.Module, spec: TrainingSpec, epochs: int, seed: int, checkpoint: Checkpoint
    ) -> None:
        task = self.task
        how: dict[str, Any] = {"epochs": epochs, "seed": seed, "device": task.device}
        how["checkpoint"] = checkpoint
        if task.train_loop is not None:
            train_by(task.train_loop, network, **how)
            return
        how |= {"teacher": self._teacher(spec), "loss": task.loss}
        how["replayed"] = self.config.run.replayed
        self._not_replayed.append(train(network, task.train, self.specs.recipe(spec), **how))

    def _why_not_replayed(self) -> str:
        """What trainings said since it was asked last."""
        reasons = [why for why in self._not_replayed if why]
        self._not_replayed.clear()
        return reasons[0] if reasons else ""

    def _validated(self, network: nn.Module) -> float:
        return evaluate(network, self.task.validation, metric=self.task.metric)

    def _teacher(self, spec: TrainingSpec) -> Teacher | None:
        """The unpruned network, whatever the training inherits from; None without distillation."""
        if not spec.distill:
            return None
        return Teacher(copied(self.task.model).eval(), spec.distill, spec.temperature)

    def _layerwise(self, candidate: Candidate, spec: TrainingSpec, seed: int) -> Layerwise:
        def tune(network: nn.Module, stage: int) -> None:
            checkpoint = self._checkpoint(candidate, spec, seed, stage)
            stage_seed = seed + (stage + 1) * STAGE_SEEDS
            self._train(network, spec, spec.layer_epochs, stage_seed, checkpoint)

        source = self._source(candidate)
        return Layerwise(
            source.model or self.task.model,
            self.space,
            select(self.space, candidate.policy, source.scores),
            self._surgery(spec),
            self._surgery_batches,
            tune,
            self._checkpoint(candidate, spec, seed, "stages"),
        )

    def _checkpoint(
        self, candidate: Candidate, spec: TrainingSpec, seed: int, part: int | str = ""
    ) -> Checkpoint:
        parts = (candidate.policy.key, candidate.criterion, spec, self.specs.recipe(spec))
        key = cache.key(*parts, self._surgery(spec), seed, part)
        return Checkpoint(self.checkpoints, key)

    def _surgery(self, spec: TrainingSpec) -> str:
        return spec.surgery or self.config.training.surgery

    def _source(self, candidate: Candidate) -> WeightSource:
        name = self._source_name(candidate)
        return self.sources.get(name) or WeightSource(self.scores[name])

    def _source_name(self, candidate: Candidate) -> str:
        return candidate.criterion or self.config.reference

    def _proxies(self, candidate: Candidate) -> dict[str, float]:
        reference = self.config.reference
        calibration, held_out = self._proxy_batches
        network = self.pruned(candidate, judged=True)
        ours = self._source(candidate).model is None
        same = ours and self.config.training.surgery == RECONSTRUCT
        judged = PrunedCandidate(
            candidate.policy,
            self.space,
            self.scores[candidate.criterion or reference],
            network,
            calibration,
            held_out,
            judge=self.scores[reference],
            loss=self.task.loss,
            metric=self.task.metric.score,
            damages=self.damages,
            model=self.task.model,
            reconstruct=lambda policy, scores: (
                network if same else self._reconstructor(policy, scores)
            ),
        )
        return {name: PROXIES[name](judged) for name in self.config.judging.proxies}

    @cached_property
    def _proxy_batches(self) -> tuple[list[Batch], list[Batch]]:
        """Drawn once: every candidate is judged on the same images."""
        images, batch_size = ADAPTING
        return self.task.calibration(images, batch_size=batch_size), self.task.held_out()

    @cached_property
    def _pruners(self) -> dict[tuple[str, str, bool], Pruner]:
        """By the name of the source, empty for the task's own network, the surgery, and whether
        networks are only judged."""
        return {}

    @cached_property
    def _reconstructor(self) -> Pruner:
        """Of the task's network, whatever the candidate's weights are."""
        return reconstructor(self.task.model, self.space, self._proxy_batches[0])

    @cached_property
    def _surgery_batches(self) -> list[Batch]:
        return self.task.calibration(images_to_train_on(self.task))

    @cached_property
    def _not_replayed(self) -> list[str]:
        return []

    @cached_property
    def _latest(self) -> OrderedDict[Hashable, nn.Module]:
        """The networks that were repaired last: each is trained at several rungs and seeds."""
        return OrderedDict()
