"""All records of a run, and the questions that several parts of the report ask of them.

>>> [record.number for record in run.front_at("0.5")]
[7, 12]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from results.compare import chosen
from results.comparison import Comparison
from results.compression import CompressionBaseline
from results.gains import GainStep
from results.metric import MetricInfo
from results.pareto import finished, trial_front
from results.provenance import Provenance
from results.record import Candidate, FinalRecord, TrialRecord
from results.sensitivity import SensitivityRecord
from results.space import SpaceRecord
from results.speed import NetworkSpeed
from results.sweep import SweepPoint
from results.training import TrainingRecord
from spaces.budget import COSTS, CostKind


def kept(attribute: str, label: str, table: str = "", caption: str = "") -> dict[str, str]:
    """Metadata of a field that a study keeps; see `results.store.RecordKind`."""
    return {"attribute": attribute, "label": label, "table": table, "caption": caption}


@dataclass(frozen=True, slots=True)
class RunData:
    """What a run's folder holds; a new kind of record is one more field.

    Attributes:
        folder: of the run.
        records: one a trial.
        finals: the networks that were trained to the end over several seeds, and tested.
        provenance: where the run comes from.
        repeats: policies that were trained again with another seed at the rung that trust is
            measured at; their accuracies at other rungs are ``nan``.
        swept: the learning rates that the search tried before its first trial.
        compared: what a comparison of fine-tuning with training from scratch measured.
        measured: what cutting each group alone did.
        gain_steps: from uniform widths, cut plainly, to the searched network, for each budget.
        compressed: networks compressed in other ways, with the best ones and the unpruned one.
        training_records: one for every network that was trained to the end, whatever for.
        space: which widths can be chosen, and what they cost.
        timed: how long the networks that compete take on the machine that trained the finals.
    """

    folder: Path
    records: tuple[TrialRecord, ...]
    finals: tuple[FinalRecord, ...] = field(default=(), metadata=kept("finals", "final"))
    provenance: Provenance = field(
        default_factory=Provenance, metadata=kept("provenance", "the provenance")
    )
    _: KW_ONLY
    repeats: tuple[TrialRecord, ...] = field(default=(), metadata=kept("repeats", "repeat"))
    measured: tuple[SensitivityRecord, ...] = field(
        default=(), metadata=kept("sensitivity", "sensitivity")
    )
    gain_steps: tuple[GainStep, ...] = field(
        default=(), metadata=kept("gains", "gain step", "gains")
    )
    compressed: tuple[CompressionBaseline, ...] = field(
        default=(), metadata=kept("beside", "compression baseline", "compression_baselines")
    )
    training_records: tuple[TrainingRecord, ...] = field(
        default=(), metadata=kept("trainings", "training")
    )
    swept: tuple[SweepPoint, ...] = field(
        default=(), metadata=kept("rates", "learning rate", "rates")
    )
    compared: Comparison = field(
        default_factory=Comparison, metadata=kept("comparison", "the comparison")
    )
    space: SpaceRecord = field(default_factory=SpaceRecord, metadata=kept("space", "the space"))
    timed: tuple[NetworkSpeed, ...] = field(default=(), metadata=kept("speeds", "speed", "speeds"))

    @property
    def metric(self) -> MetricInfo:
        """What its networks are judged by."""
        return self.provenance.metric

    @property
    def budgets(self) -> dict[str, int]:
        """Budget name to the most it allows, as the run was given them."""
        return self.provenance.budgets

    @property
    def kind(self) -> CostKind:
        """What its budgets limit."""
        return COSTS[self.provenance.limited]

    @property
    def criteria(self) -> list[str]:
        """The criteria that chose channels, in the order of the trials."""
        return list(dict.fromkeys(r.criterion for r in self.records))

    @property
    def budget_names(self) -> list[str]:
        """Every budget that the run or a final knows, in order."""
        return list(dict.fromkeys([*self.budgets, *(f.budget for f in self.finals if f.budget)]))

    def budget_of(self, record: TrialRecord) -> str | None:
        """The tightest budget that a trial meets: its sampler put it just under that one."""
        met = {name: limit for name, limit in self.budgets.items() if record.size <= limit}
        return min(met, key=lambda name: met[name], default=None)

    def trials_at(self, budget: str | None) -> list[TrialRecord]:
        """The trials whose tightest budget this is."""
        return [r for r in self.records if self.budget_of(r) == budget]

    def compared_at(self, budget: str | None) -> list[TrialRecord]:
        """Those of `trials_at` that were trained to the top rung, so that they can be compared."""
        return [r for r in finished(self.records) if self.budget_of(r) == budget]

    def front_at(self, budget: str | None) -> list[TrialRecord]:
        """The part of the whole front that lies under this budget."""
        return [r for r in trial_front(self.records) if self.budget_of(r) == budget]

    def uniform_at(self, budget: str | None) -> FinalRecord | TrialRecord | None:
        """Uniform widths at a budget: the final when there is one, else the start of that name."""
        finals = (f for f in self.finals if f.role == "uniform" and f.budget == budget)
        return next(finals, None) or furthest(self.uniform_starts(budget))

    def uniform_starts(self, budget: str | None) -> list[TrialRecord]:
        """Uniform widths as the search tried them, under every criterion that it searched."""
        return [r for r in self.trials_at(budget) if r.origin == "uniform"]

    def seen(self, candidate: Candidate | None) -> TrialRecord | None:
        """The trial of this policy under this criterion that reached the highest rung above 0."""
        trials = [r for r in self.records if r.candidate == candidate and r.rung > 0]
        return max(trials, key=lambda r: r.rung, default=None)

    def best_final(self, budget: str | None) -> FinalRecord | None:
        """The searched final that represents a budget in its verdict."""
        return chosen(f for f in self.finals if f.budget == budget)


def furthest(trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """The trial that reached the highest rung, among equals the best."""
    return max(trials, key=lambda r: (r.rung, r.val_accuracy), default=None)
