"""One policy's climb: prune, then proxies at rung 0 and brief training at every rung above.

Those who came far are trained to the end; that is measured here too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops import (
    PROXIES,
    SURGERIES,
    Candidate,
    Compression,
    Scores,
    Size,
    prune,
    select,
    without_parametrization,
)
from results.record import TrialRecord
from search import cache
from search.checkpoints import NOWHERE, Checkpoint, Checkpoints, copied_to_cpu
from search.config import SearchConfig
from search.data.splits import Batch
from search.layerwise import Layerwise
from search.models import reinitialise
from search.rungs import DominanceRule
from search.task import Task
from search.train import MODES, Diverged, Recipe, evaluate, train
from spaces import Policy, Space, copied
from spaces.errors import ModelError, brief
from spaces.state import state_of

TOLERANCE = 0.01
"""Share of the unpruned network's flops within which two policies count as equally large."""

ADAPTING = 2048, 64
"""Images that proxies calibrate on, and of one batch: adaptive BatchNorm takes all 32 batches."""

STAGE_SEEDS = 2**32
"""Between the seeds of the stages of one training, so that no two trainings share any."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a rung gave nothing: ``kind`` groups failures alike, ``reason`` is one line."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one rung gave: proxies at rung 0, accuracy and epochs above, or a failure."""

    rung: int
    seconds: float
    proxies: dict[str, float] = field(default_factory=dict)
    accuracy: float = math.nan
    epochs: int = 0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """How a network is trained to the end, where that is not the run's own mode.

    Attributes:
        scratch: from fresh weights instead of those that were kept.
        epochs: as many, whatever the network's size.
        tested: whether the test split is read.
        layer_epochs: of training after each group, pruned one after the other; 0 where all are
            pruned at once.
        compression: of the network's weights, before the training and throughout it.
    """

    recipe: Recipe
    epochs: int
    scratch: bool = False
    tested: bool = True
    layer_epochs: int = 0
    compression: Compression | None = None


@dataclass(frozen=True, slots=True)
class FinalJob:
    """A network to be trained to the end, anywhere: its policy and the seed of the training.

    Attributes:
        training: how; None for the run's own mode and ``final_epochs``.
        source: who chose the channels that it inherits: a criterion of the climb, or the name of
            another ``Source``; empty for the run's own criterion.
        keep: whether its weights come back.
    """

    policy: Policy
    seed: int
    training: Training | None = None
    source: str = ""
    keep: bool = True


@dataclass(frozen=True, eq=False)
class Source:
    """What a training inherits, where that is not what the run's criterion leaves of its model.

    Attributes:
        scores: say which channels stay.
        model: whose weights; None for those of the task's model.
    """

    scores: Scores
    model: nn.Module | None = None

    def on(self, device: torch.device) -> Source:
        """The same with its model on another device."""
        return self if self.model is None else replace(self, model=copied(self.model).to(device))


@dataclass(frozen=True, slots=True)
class FinalOutcome:
    """What a final training gave: accuracies 0 to 1 and the weights, or a failure.

    Attributes:
        weights: what ``spaces.state.state_of`` gives, on the CPU.
        size: of a network whose weights were compressed.
    """

    seconds: float
    epochs: int = 0
    val_accuracy: float = math.nan
    test_accuracy: float = math.nan
    weights: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    size: Size | None = None


@dataclass(frozen=True)
class Climb:
    """Measures any rung of any policy; a unit of work that can be pickled.

    >>> climb = Climb(task, space, {"second_order": scores["second_order"]}, config)
    >>> climb.rung(space.uniform(0.5), rung=0, seed=1).proxies
    {'predicted_damage': -0.0021, 'adaptive_bn': 0.9331}
    >>> climb.rung(space.uniform(0.5), rung=1, seed=1).accuracy
    0.9610

    Every rung starts from the unpruned network again and anneals its own learning rate, so the
    accuracy at a rung means the same for every policy, whatever it did before.

    Attributes:
        scores: of every criterion that may say which channels stay, each in one unit.
        checkpoints: where a training that takes long is kept, so that it goes on after a kill.
        sources: what else final trainings may inherit, by name.
        damages: for the proxy ``iso_damage``, see `Candidate`.
    """

    task: Task
    space: Space
    scores: Mapping[str, Scores]
    config: SearchConfig
    checkpoints: Checkpoints = NOWHERE
    sources: Mapping[str, Source] = field(default_factory=dict)
    damages: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def top(self) -> int:
        """The highest rung."""
        return len(self.config.judging.rungs)

    @property
    def rule(self) -> DominanceRule:
        """Who climbs on from a rung below the top."""
        judging = self.config.judging
        return DominanceRule(judging.eta, judging.coin, int(TOLERANCE * self.space.full_flops))

    @property
    def recipe(self) -> Recipe:
        """The mode's own, but for what the config says."""
        asked = self.config.training
        recipe = MODES[asked.train].recipe.suited_to(len(self.task.train))
        return replace(
            recipe, lr=asked.lr or recipe.lr, batch_size=asked.batch_size or recipe.batch_size
        )

    def on(self, device: torch.device) -> Climb:
        """The same climb measured on another device."""
        sources = {name: source.on(device) for name, source in self.sources.items()}
        return replace(self, task=self.task.to(device), sources=sources)

    def look(self) -> None:
        """Read an image of every split.

        Raises:
            DataError: this machine has not the files; or what the user's own data raises.
        """
        for split in (self.task.train, self.task.validation, self.task.test):
            next(iter(split.batches(1)))

    def next_rung(self, record: TrialRecord) -> int:
        """The rung that a trial has still to be judged at."""
        return record.rung + 1 if record.proxies else 0

    def score(self, record: TrialRecord, rung: int) -> float:
        """What counts at a rung: the deciding proxy at rung 0, accuracy above."""
        if rung:
            return record.accuracy[rung - 1]
        return record.proxies[self.config.judging.rank_by]

    def rung(self, policy: Policy, rung: int, seed: int, criterion: str = "") -> Outcome:
        """Measure one rung of one policy. Never raises: what goes wrong is part of the outcome.

        Args:
            criterion: who says which channels stay; empty for the run's own.
        """
        started = time.perf_counter()
        try:
            if rung:
                outcome = self._train(policy, rung, seed, criterion)
            else:
                outcome = self._judge(policy, criterion)
        except Exception as error:
            outcome = Outcome(rung, 0.0, failure=failure(error))
        return replace(outcome, seconds=time.perf_counter() - started)

    def final(self, job: FinalJob) -> FinalOutcome:
        """Train a policy's network to the end and, if so asked, test it. Never raises."""
        started = time.perf_counter()
        try:
            outcome = self._finish(job)
        except Exception as error:
            outcome = FinalOutcome(0.0, failure=failure(error))
        return replace(outcome, seconds=time.perf_counter() - started)

    def pruned(self, policy: Policy, source: str = "", surgery: str | None = None) -> nn.Module:
        """The network of that policy, with the weights it inherits by that criterion or source.

        Args:
            surgery: None for the run's own; plain is quicker where only the shapes are wanted.
        """
        from_ = self._source(source)
        surgery = surgery or self.config.training.surgery
        batches = self._images if SURGERIES[surgery].needs_images else ()
        model = from_.model or self.task.model
        return prune(model, self.space, policy, from_.scores, surgery, batches)

    def _source(self, name: str) -> Source:
        name = name or self.config.reference
        return self.sources.get(name) or Source(self.scores[name])

    def in_mode(self, policy: Policy, epochs: int) -> Training:
        """The run's own mode for ``epochs``, or for what these cost the unpruned network."""
        mode = MODES[self.config.training.train]
        taken = self.epochs_of_equal_cost(policy, epochs) if mode.equal_compute else epochs
        return Training(self.recipe, taken, mode.scratch)

    def to_the_end(self, policy: Policy) -> Training:
        """The run's own mode and schedule for ``final_epochs``; rungs are brief and one-shot."""
        asked = self.config.training
        each = asked.layer_epochs if asked.schedule == "layerwise" else 0
        return replace(self.in_mode(policy, asked.final_epochs), layer_epochs=each)

    def epochs_of_equal_cost(self, policy: Policy, epochs: int) -> int:
        """So many epochs of the pruned network cost what ``epochs`` of the unpruned one do."""
        return max(1, round(epochs * self.space.full_flops / self.space.flops(policy)))

    def trained(self, policy: Policy, how: Training, seed: int, source: str = "") -> nn.Module:
        """The network of that policy after training.

        What ``checkpoints`` has kept of the same training is gone on with.

        Raises:
            Diverged: the loss became NaN or infinite.
        """
        gradual = self._layerwise(policy, how, seed, source) if how.layer_epochs else None
        if gradual is not None:
            network = gradual.run()
        elif how.scratch:
            network = reinitialise(self.pruned(policy, source, "plain"), seed)
        else:
            network = self.pruned(policy, source)
        if how.compression is not None:
            network = how.compression.of(network)
        train(
            network,
            self.task.train,
            how.recipe,
            epochs=how.epochs,
            seed=seed,
            device=self.task.device,
            checkpoint=self._checkpoint(policy, how, seed, source),
        )
        if gradual is not None:
            gradual.drop()
        return network if how.compression is None else without_parametrization(network)

    def _layerwise(self, policy: Policy, how: Training, seed: int, source: str) -> Layerwise:
        def tune(network: nn.Module, stage: int) -> None:
            train(
                network,
                self.task.train,
                how.recipe,
                epochs=how.layer_epochs,
                seed=seed + (stage + 1) * STAGE_SEEDS,
                device=self.task.device,
                checkpoint=self._checkpoint(policy, how, seed, source, stage),
            )

        from_ = self._source(source)
        return Layerwise(
            from_.model or self.task.model,
            self.space,
            select(self.space, policy, from_.scores),
            self.config.training.surgery,
            self._images,
            tune,
            self._checkpoint(policy, how, seed, source, "stages"),
        )

    def _checkpoint(
        self, policy: Policy, how: Training, seed: int, source: str, part: int | str = ""
    ) -> Checkpoint:
        parts = (policy.key, source, how, self.config.training.surgery, seed, part)
        return Checkpoint(self.checkpoints, cache.key(*parts))

    def _judge(self, policy: Policy, criterion: str) -> Outcome:
        reference = self.config.reference
        candidate = Candidate(
            policy,
            self.space,
            self.scores[criterion or reference],
            self.pruned(policy, criterion),
            *self._proxy_data,
            judge=self.scores[reference],
            damages=self.damages,
            model=self.task.model,
        )
        proxies = {name: PROXIES[name](candidate) for name in self.config.judging.proxies}
        return Outcome(0, 0.0, proxies=proxies)

    @cached_property
    def _proxy_data(self) -> tuple[list[Batch], list[Batch]]:
        """Drawn once; every policy is judged on the same images."""
        images, batch_size = ADAPTING
        return self.task.calibration(images, batch_size=batch_size), self.task.held_out()

    @cached_property
    def _images(self) -> list[Batch]:
        """What surgery looks at."""
        return self.task.calibration()

    def _train(self, policy: Policy, rung: int, seed: int, criterion: str) -> Outcome:
        how = self.in_mode(policy, self.config.judging.rungs[rung - 1])
        network = self.trained(policy, how, seed, criterion)
        accuracy = evaluate(network, self.task.validation)
        return Outcome(rung, 0.0, accuracy=accuracy, epochs=how.epochs)

    def _finish(self, job: FinalJob) -> FinalOutcome:
        how = job.training or self.to_the_end(job.policy)
        network = self.trained(job.policy, how, job.seed, job.source)
        weights = copied_to_cpu(state_of(network)) if job.keep else {}
        return FinalOutcome(
            0.0,
            how.epochs,
            evaluate(network, self.task.validation),
            evaluate(network, self.task.test) if how.tested else math.nan,
            weights,
            size=how.compression.size(network) if how.compression else None,
        )


def failure(error: Exception) -> Failure:
    """What went wrong in training or judging one network, in one line."""
    if isinstance(error, Diverged):
        return Failure("diverged", f"diverged: {error}")
    cause = error.__cause__ if isinstance(error, ModelError) else error
    if isinstance(cause, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        return Failure("out of memory", f"out of memory: {brief(error)}")
    return Failure(type(error).__name__, brief(error))
