"""Where a run comes from: its options, network, data and machine.

>>> run.provenance.device, run.provenance.settings.rungs
('cpu (x86_64, 2 threads)', (1, 3))

Whatever a run does not say has its default, and what depends on it is left out of the report.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from results import codec, text
from results.compression import WAYS, Way
from results.metric import ACCURACY, MetricInfo
from results.training import DISTILL_WEIGHT, TEMPERATURE
from spaces.budget import FLOPS


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of the search that the report depends on; ``None`` or empty where it is silent.

    Attributes:
        task: what returned it, in the place of ``model`` and ``data``.
        train_images: the option; ``Provenance.train_images`` is how many there were.
        train: the mode: ``finetune``, ``scratch-e`` or ``scratch-b``.
        distill: whether pruned networks are distilled from the unpruned one.
        distill_weight, distill_temperature: how, if they are.
    """

    task: str | None = None
    model: str | None = None
    weights: str | None = None
    data: str | None = None
    image_size: int | None = None
    train_images: int | None = None
    budget: tuple[str, ...] = ()
    trials: int | None = None
    sampler: str | None = None
    starts: tuple[str, ...] = ()
    seed: int | None = None
    criterion: str | None = None
    rank_by: str | None = None
    rungs: tuple[int, ...] = ()
    eta: float = 2.0
    train: str | None = None
    lr: float | None = None
    batch_size: int | None = None
    layer_epochs: int | None = None
    distill: bool = False
    distill_weight: float = DISTILL_WEIGHT
    distill_temperature: float = TEMPERATURE
    final_epochs: int | None = None
    final_seeds: int | None = None

    @property
    def distillation(self) -> str | None:
        """With what parameters, in words; ``None`` where nothing is distilled."""
        if not self.distill:
            return None
        return text.distillation(self.distill_weight, self.distill_temperature)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Those of a config in parts, each option by its own name."""
        parts = [part for part in config.values() if isinstance(part, Mapping)]
        options = {k: v for part in parts for k, v in part.items() if v is not None}
        return codec.build(cls, options, strict=False)


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that are cut together."""

    name: str
    channels: int


@dataclass(frozen=True, slots=True)
class Frozen:
    """A module whose channels must stay, and why."""

    name: str
    channels: int
    reason: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """The unpruned network; scores ``None`` until it was tested."""

    flops: int | None = None
    params: int | None = None
    val_accuracy: float | None = None
    test_accuracy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance(codec.Stored, Mapping[str, Any]):
    """What the report needs beyond the records.

    As a mapping it is what was stored, by the names below, without what is as by default; that is
    how version 0.1 had it, and will go with the next one.

    Attributes:
        run: name of the run.
        task: what was pruned, for people: ``"resnet20 on cifar10"``.
        metric: what networks are judged by.
        fresh, fresh_import: the expression that builds the unpruned architecture, and what it
            needs.
        config: the configuration as plain data, in parts.
        reference: the criterion that serves where a trial has none of its own.
        versions: package to version.
        commit: of the source tree.
        device: what it ran on.
        folder: where the process that trained the finals keeps the run.
        baseline: the unpruned network.
        budgets: budget, as in `FinalRecord.budget`, to the most it allows of ``limited``.
        limited: the cost that budgets limit, a name of `spaces.budget.COSTS`.
        limits: what every policy keeps besides: limit, as text, to the most it allows.
        full_flops: of the unpruned network.
        full_spent: what the unpruned network takes of ``limited``, where that is not FLOPs.
        tolerance: share of these within which two policies counted as equally large.
        groups, frozen: in the order of the network.
        uncounted: ``module`` and ``operation`` of what multiplies, and is in no count.
        classes: their names, by number; of those that are missing the number stands for the name.
        train_images, val_images, test_images: how many images each split has.
        base_epochs: of the unpruned network's training; ``None`` if its weights were given.
        recipe: how pruned networks were trained, but for rate and epochs, in words; ``None`` where
            an older run does not say.
        command: how to make the run again.
        started: when, as text.
        seconds: wall time of the whole run.
        test_reads: how many times the search read the test split, as older versions counted.
        warnings: why the verdict may mean nothing, known before the first trial.
        checks: one sentence for every check that was made.
        names: criteria, sensitivities, proxies, surgery and sampler of the run, a line on each.
        ways: what the report says of ways to compress, besides those of `results.compression`.
        settings: what the report depends on in ``config``.
    """

    run: str = ""
    task: str = ""
    metric: MetricInfo = ACCURACY
    fresh: str = ""
    fresh_import: str = "from search import models"
    config: dict[str, Any] = field(default_factory=dict)
    reference: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    commit: str = ""
    device: str = ""
    folder: str = ""
    baseline: Baseline | None = None
    budgets: dict[str, int] = field(default_factory=dict)
    full_flops: int | None = None
    full_spent: int | None = None
    limited: str = FLOPS
    limits: dict[str, int] = field(default_factory=dict)
    tolerance: float | None = None
    groups: tuple[Group, ...] = ()
    frozen: tuple[Frozen, ...] = ()
    uncounted: tuple[dict[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    train_images: int | None = None
    val_images: int | None = None
    test_images: int | None = None
    base_epochs: float | None = None
    recipe: str | None = None
    command: str = ""
    started: str = ""
    seconds: float | None = None
    test_reads: int | None = None
    warnings: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    ways: dict[str, Way] = field(default_factory=dict)
    settings: Settings = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", Settings.of(self.config))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave, or an older version's plain dict; what is not known is dropped."""
        return codec.build(cls, {k: v for k, v in raw.items() if v is not None}, strict=False)

    def to_dict(self) -> dict[str, Any]:
        """In JSON's own types, without what is as by default."""
        default, names = type(self)(), [f.name for f in fields(self) if f.init]
        values = {name: getattr(self, name) for name in names}
        return {name: codec.plain(v) for name, v in values.items() if v != getattr(default, name)}

    @classmethod
    def from_json(cls, text: str) -> Self:
        """As `from_dict` of what `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    def to_json(self) -> str:
        """`to_dict` as one JSON object."""
        return json.dumps(self.to_dict())

    @property
    def full_size(self) -> int | None:
        """What the unpruned network takes of what the budgets limit."""
        return self.full_flops if self.full_spent is None else self.full_spent

    @property
    def channels(self) -> dict[str, int]:
        """Group to the channels it has in the unpruned network."""
        return {group.name: group.channels for group in self.groups}

    def way(self, name: str) -> Way:
        """What is said of a way to compress."""
        return WAYS.get(name) or self.ways.get(name) or Way(name)

    def __getitem__(self, name: str) -> Any:
        return self.to_dict()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_dict())

    def __len__(self) -> int:
        return len(self.to_dict())
