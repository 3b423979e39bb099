"""SearchConfig: everything a run depends on, as one tree of frozen dataclasses.

The command line is made from this tree (``search.cli``), a run's ``config.json`` holds it, and
resuming compares two of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prune_ops import CRITERIA, PROXIES, SENSITIVITIES, SURGERIES, WAYS
from prune_ops.criteria import ALIASES
from results.training import DISTILL_WEIGHT, TEMPERATURE
from search.loggers import LOGGERS, NONE
from search.options import Options, flag, option, shown
from search.policies import SAMPLERS
from search.training.modes import (
    AUTO,
    MODES,
    MOST_RATE,
    MOST_TEMPERATURE,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    SGD,
)
from spaces import Budget
from spaces.budget import LATENCY, together
from spaces.errors import unknown

ENGINES = ("local", "ray")

SEARCH = "search"
"""In the place of a criterion: which one a trial has is searched along with its widths."""

REFERENCE = "obs"
"""Of several criteria the one that judges them all, if it is among them."""

OF_OUR_LOOP = (
    *("lr", "batch_size", "precision", "distill"),
    *("optimizer", "label_smoothing", "clip_norm", "ema"),
)
"""Options that do nothing where the user's own loop trains."""

NOT_SMOOTHED = "--label-smoothing is of the cross-entropy, but {} is in its place; leave one out"

MOST_EPOCHS = 10**6
"""Of any training. More is a slip of the keyboard, and would never end."""


def budgets(given: Any) -> tuple[str, ...]:
    """One budget or several, in any form, as text."""
    several = given if isinstance(given, list | tuple) else (given,)
    return tuple(str(Budget.parse(one)) for one in several)


def limits(given: Any) -> tuple[str, ...]:
    """Limits in any form, as text; a mapping has the amount of each cost."""
    if isinstance(given, Mapping):
        return budgets([f"{cost}={amount}" for cost, amount in given.items()])
    return budgets(given)


def several(given: Any) -> tuple[Any, ...]:
    """One name or several."""
    return tuple(given) if isinstance(given, list | tuple) else (given,)


@dataclass(frozen=True)
class TaskConfig(Options):
    """what is pruned"""

    model: str = option(
        "digits_small", "name of a model, or package.module:function", value="MODEL", first=True
    )
    weights: str | None = option(
        None,
        "state_dict, checkpoint, safetensors or a folder of a run's models/ (default: train it "
        "here)",
        value="FILE",
        first=True,
    )
    sparsity: float = option(
        0.0, "if trained here: L1 penalty on BatchNorm scales (slimming: 1e-4)", least=0, most=1
    )
    data: str = option(
        "digits",
        "digits, cifar10, fashion-mnist, imagefolder:PATH or package.module:function",
        value="DATA",
        first=True,
    )
    task: str | None = option(
        None,
        "package.module:function that returns a search.Task, in the place of model and data",
        value="TASK",
    )
    loss: str | None = option(
        None,
        "package.module:function of (outputs, batch), to train by (default: cross-entropy); the "
        "data may then have batches of any form",
        value="LOSS",
    )
    metric: str | None = option(
        None,
        "package.module:name of a search.Metric, or of a function that returns one, to judge "
        "networks by (default: accuracy)",
        value="METRIC",
    )
    train_loop: str | None = option(
        None,
        "package.module:function of (model, epochs, seed) that trains pruned networks in the place "
        "of our own loop",
        value="LOOP",
    )
    image_size: int | None = option(
        None, "side of the images in pixels (default: the data's own)", least=1, most=2**13
    )
    classes: int | None = option(
        None, "number of classes (default: those that the data shows)", least=2, most=2**20
    )
    train_images: int | None = option(
        None, "number of training images to use (default: all)", least=1, most=2**40
    )
    round_to: int | None = option(
        None, "round widths to multiples of this (default: 8, or finer)", least=1, most=2**20
    )
    inside: tuple[str, ...] = option(
        (),
        "prune inside these submodules only, backbone say; what enters and leaves them stays "
        "(default: the whole network, or the largest parts that can be traced)",
        read=several,
        value="MODULE",
    )
    device: str = option(
        "auto",
        "device to compute on; auto is cuda if there is one",
        names=("auto", "cpu", "cuda"),
        value="DEVICE",
    )
    precision: str = option(
        AUTO,
        "precision of training; auto is bfloat16 on CUDA, else float32; bfloat16 is faster on "
        "CPUs that compute in it",
        names=PRECISIONS,
    )

    def rules(self) -> Iterator[str]:
        if self.sparsity and self.weights is not None:
            yield (
                "--sparsity is of the unpruned network's training, but --weights are trained "
                "already; leave one of them out"
            )
        if self.loss is not None and self.metric is None:
            yield (
                f"--loss {self.loss} needs a metric that networks are judged by, but there is "
                "none; add --metric package.module:name"
            )
        if self.train_loop is not None and self.weights is None and self.task is None:
            yield (
                f"--train-loop {self.train_loop} trains pruned networks, and needs a trained one "
                "to prune, but there are no weights; add --weights FILE"
            )
        for name in ("task", "loss", "metric", "train_loop"):
            if (spec := getattr(self, name)) is not None and ":" not in spec:
                yield f"{flag(name)} must be package.module:name, but got {spec!r}"
        if self.task is not None:
            others = ("model", "weights", "data", "loss", "metric", "train_loop", "image_size")
            for name in (*others, "classes", "train_images", "sparsity"):
                if getattr(self, name) != getattr(type(self), name):
                    yield (
                        f"{flag(name)} is part of what --task returns, but got both; leave one of "
                        "them out"
                    )


@dataclass(frozen=True)
class PolicyConfig(Options):
    """which policies are tried"""

    budget: tuple[str, ...] = option(
        ("0.5",),
        "most FLOPs to keep (a share, or 60M), or most time (12ms); several share one run",
        read=budgets,
        value="SHARE",
        first=True,
        grows=True,
    )
    limit: tuple[str, ...] = option(
        (),
        "what every network keeps besides: params=0.5 (or 1.2M), memory=0.6 (or 8MB), latency=12ms",
        read=limits,
        value="COST=X",
        adds=True,
    )
    latency_batch: int = option(
        1, "items in a forward pass whose time is limited", least=1, most=2**16
    )
    trials: int = option(
        48,
        "policies to try, for all budgets",
        least=1,
        most=10**6,
        first=True,
        grows=True,
    )
    sampler: str = option("surrogate", "sampler that proposes the policies", names=SAMPLERS)
    starts: tuple[str, ...] = option(
        ("l1", "taylor_2019", "repaired_damage"),
        "policies to try first, after uniform widths: criteria rank all channels, while "
        "layer_damage, accuracy_drop, iso_damage and repaired_damage set each layer's width",
        names=(*CRITERIA, *SENSITIVITIES),
    )
    seed: int = option(0, "random seed", least=0, most=2**32 - 1)

    def rules(self) -> Iterator[str]:
        if len(set(self.budget)) < len(self.budget):
            yield f"--budget must name different budgets, but got {shown(self.budget)}"
        costs = dict.fromkeys(Budget.parse(budget).cost for budget in self.budget)
        if len(costs) > 1:
            yield (
                f"--budget must limit one cost, but got {shown(self.budget)}, of "
                f"{' and '.join(costs)}; give one of them as --limit"
            )
        limits = together(self.budget[:1] + self.limit)
        if self.latency_batch != PolicyConfig.latency_batch and LATENCY not in (
            limit.cost for limit in limits
        ):
            yield (
                "--latency-batch is of the time of a forward pass, but nothing limits that; add "
                "--limit latency=0.5, or leave --latency-batch out"
            )


@dataclass(frozen=True)
class JudgeConfig(Options):
    """how a policy is judged"""

    criterion: str = option(
        "obs",
        "criterion that chooses the channels to keep (search: each trial has one of --criteria)",
        names=(*CRITERIA, SEARCH),
    )
    criteria: tuple[str, ...] = option(
        (),
        "with --criterion search: what it chooses from (default: obs and those of --starts)",
        names=CRITERIA,
    )
    proxies: tuple[str, ...] = option(
        ("predicted_damage", "reconstructed"),
        "scores without training, by which a trial is judged first (rung 0)",
        names=PROXIES,
    )
    rank_by: str = option(
        "reconstructed", "the one of them that decides who is trained", names=PROXIES
    )
    rungs: tuple[int, ...] = option(
        (1, 3),
        "epochs of the brief trainings by which trials are judged next, each a rung that the "
        "better ones reach",
        most=MOST_EPOCHS,
    )
    eta: float = option(
        2.0, "about 1 in ETA trials of equal size goes on to the next rung", above=1
    )
    explore: float = option(
        0.1, "share of trials that go on whatever their score", least=0, most=1, was="coin"
    )
    repeats: int = option(
        6,
        "policies trained twice at the last rung, to measure the noise",
        least=0,
        most=10**6,
        grows=True,
    )

    def rules(self) -> Iterator[str]:
        if self.rank_by not in self.proxies:
            yield (
                f"--rank-by must be one of the --proxies ({shown(self.proxies)}), "
                f"but got {self.rank_by!r}; add it there"
            )
        if self.criteria and self.criterion != SEARCH:
            yield (
                f"--criteria are those of --criterion search, but got --criterion "
                f"{self.criterion}; leave one of the two out"
            )
        rungs = self.rungs
        if not rungs or min(rungs) < 1 or list(rungs) != sorted(set(rungs)):
            yield f"--rungs must be rising numbers of epochs, but got {shown(rungs)}"


@dataclass(frozen=True)
class TrainConfig(Options):
    """how a pruned network is trained"""

    train: str = option("finetune", "from inherited weights, or from scratch", names=MODES)
    lr: float | None = option(
        None, "peak learning rate, annealed to 0 (default: the mode's)", above=0, most=MOST_RATE
    )
    batch_size: int | None = option(
        None, "batch size (default: 128, or 32 for small data)", least=1, most=2**20
    )
    optimizer: str = option(
        SGD, "optimizer; adamw has a tenth of the learning rates of sgd", names=OPTIMIZERS
    )
    label_smoothing: float = option(
        0.0, "smooth the labels of the cross-entropy by this", least=0, most=1
    )
    clip_norm: float | None = option(
        None, "clip the gradients to this norm (default: not)", above=0
    )
    ema: float = option(
        0.0,
        "judge and keep a moving average of the weights with this decay, 0.999 say (default: not)",
        least=0,
        most=1,
    )
    surgery: str = option("reconstruct", "how the kept weights are adjusted", names=SURGERIES)
    schedule: str = option(
        "one-shot",
        "layerwise: finals are pruned group by group, trained after each",
        names=SCHEDULES,
    )
    layer_epochs: int = option(
        1, "with layerwise: epochs after each group", least=1, most=MOST_EPOCHS
    )
    distill: bool = option(
        False,
        "distil every pruned network from the unpruned one, rungs and finals alike",
    )
    distill_weight: float = option(
        DISTILL_WEIGHT, "with distillation: its share of the loss", above=0, most=1
    )
    distill_temperature: float = option(
        TEMPERATURE,
        "with distillation: both networks' logits are divided by it",
        above=0,
        most=MOST_TEMPERATURE,
    )
    final_epochs: int = option(
        12, "epochs of the final trainings", least=1, most=MOST_EPOCHS, grows=True
    )
    final_seeds: int | None = option(
        None,
        "final trainings of each policy, one a seed (default: 3, or 8 for small data)",
        least=1,
        most=1000,
        grows=True,
    )
    gains: bool = option(
        True,
        "train what says which step from plain uniform widths to the result gained what",
        grows=True,
    )
    compression_baselines: tuple[str, ...] = option(
        (),
        "other ways to compress, trained for comparison",
        names=WAYS,
        was="beside",
        grows=True,
    )

    def rules(self) -> Iterator[str]:
        if MODES[self.train].scratch:
            for name in ("surgery", "schedule"):
                value, usual = getattr(self, name), getattr(TrainConfig, name)
                if value not in (usual, "plain"):
                    yield (
                        f"--{name} {value} acts on inherited weights, but --train {self.train} "
                        f"has none; use --train finetune, or leave --{name} out"
                    )
        if self.layer_epochs != TrainConfig.layer_epochs and self.schedule != "layerwise":
            yield (
                f"--layer-epochs are of --schedule layerwise, but got --schedule {self.schedule}; "
                "add --schedule layerwise, or leave --layer-epochs out"
            )
        for name in ("distill_weight", "distill_temperature"):
            if getattr(self, name) != getattr(TrainConfig, name) and not self.distill:
                yield (
                    f"{flag(name)} is of distillation, but nothing is distilled; add --distill, or "
                    f"leave {flag(name)} out"
                )


@dataclass(frozen=True)
class RunConfig(Options):
    """the run"""

    name: str = option(
        "",
        "its folder in RUNS_DIR (default: made from model and budget)",
        free=True,
        value="NAME",
        first=True,
    )
    runs_dir: str = option(
        "runs",
        "folder of all runs",
        free=True,
        value="DIR",
    )
    resume: bool = option(
        False,
        "go on with the named, or the latest unfinished, run; more --trials or --final-seeds, a "
        "further --budget and others extend it",
        free=True,
        first=True,
    )
    storage: str | None = option(
        None,
        "database of the study, postgresql://USER@HOST/DB (default: study.db)",
        free=True,
        value="URL",
    )
    engine: str = option("local", "where trials run", names=ENGINES, free=True)
    workers: int | None = option(
        None,
        "trials at once (default: 1; ray: all the cluster holds)",
        least=1,
        most=1000,
        free=True,
        first=True,
    )
    address: str | None = option(
        None,
        "with ray: the cluster, auto or HOST:PORT (default: Ray on this machine)",
        free=True,
        value="HOST:PORT",
    )
    replayed: bool = option(
        False,
        "on CUDA, record a training step in a graph and replay it, which spares a small network "
        "most of the time; not yet tried on a GPU",
        free=True,
    )
    max_hours: float | None = option(
        None,
        "hours a search may take, finals and report included: no trial begins that leaves too "
        "little time for them; they are not cut, and --resume goes on with the rest",
        above=0,
        free=True,
        value="X",
    )
    cpus_per_trial: float = option(1.0, "with ray: CPU cores of a trial", least=0, free=True)
    gpus_per_trial: float | None = option(
        None,
        "with ray: GPUs of a trial, 0.25 say (default: 1 if there are any)",
        least=0,
        free=True,
    )

    log: tuple[str, ...] = option(
        (),
        "experiment loggers that are told of the run: wandb, mlflow, tensorboard or "
        "package.module:function (none: no more)",
        free=True,
        value="NAME",
    )

    def rules(self) -> Iterator[str]:
        for name in self.log:
            if ":" not in name and name not in (*LOGGERS, NONE):
                yield str(unknown("logger", name, [*LOGGERS, "package.module:function"]))
        if len(set(self.log)) < len(self.log) or (NONE in self.log and len(self.log) > 1):
            yield f"--log must name each logger once, or be none, but got {shown(self.log)}"
        if Path(self.name).name != self.name or self.name.startswith("."):
            yield (
                "--name must name a folder in --runs-dir, without a dot before it, "
                f"but got {self.name!r}; choose another name"
            )
        if self.cpus_per_trial == 0:
            yield "--cpus-per-trial must be above 0, but got 0; a half of a core is 0.5"
        if self.engine == "ray":
            return
        if self.address is not None:
            yield "--address is of a Ray cluster, but got --engine local; add --engine ray"
        if self.gpus_per_trial is not None:
            yield (
                "--gpus-per-trial is for a Ray cluster, but got --engine local; add --engine ray, "
                "or use --device"
            )
        if self.cpus_per_trial != RunConfig.cpus_per_trial:
            yield (
                "--cpus-per-trial is for a Ray cluster, but got --engine local; add --engine ray, "
                "or say with --workers how many trials share the cores"
            )


@dataclass(frozen=True)
class SearchConfig(Options):
    """All of it.

    >>> config = SearchConfig.of(budget=0.5, trials=64, sampler="nsga2")
    >>> config.policies.budget, config.judging.rungs
    (('0.5',), (1, 3))
    """

    task: TaskConfig = TaskConfig()
    policies: PolicyConfig = PolicyConfig()
    judging: JudgeConfig = JudgeConfig()
    training: TrainConfig = TrainConfig()
    run: RunConfig = RunConfig()

    def rules(self) -> Iterator[str]:
        if self.task.train_loop is not None:
            yield from self.useless_with(f"--train-loop {self.task.train_loop}")
        if self.training.label_smoothing and self.task.loss is not None:
            yield NOT_SMOOTHED.format(f"--loss {self.task.loss}")
        if self.judging.criterion != SEARCH:
            return
        if len(self.searched) < 2:
            yield (
                f"--criteria must name at least 2 different ones, but got {shown(self.searched)}; "
                "name more, or give that one as --criterion"
            )
        for alias, name in ALIASES.items():
            if {alias, name} <= {*self.searched}:
                yield (
                    f"--criteria must name different ones, but got {shown(self.searched)}, and "
                    f"{alias} is {name} by another name; leave one of the two out"
                )
        if MODES[self.training.train].scratch:
            yield (
                f"--criterion search needs --train finetune, but got {self.training.train}: fresh "
                "weights are the same under every criterion; leave one of the two out"
            )

    def useless_with(self, loop: str) -> Iterator[str]:
        """A line for each option that is given, and does nothing where the user's own loop trains.

        Args:
            loop: names that one.
        """
        for name in OF_OUR_LOOP:
            if name in self.given:
                yield (
                    f"{flag(name)} is of our own training loop, but {loop} trains in its place; "
                    "set that there"
                )

    @property
    def searched(self) -> tuple[str, ...]:
        """The criteria of which every trial has one; none where one serves all of them."""
        if self.judging.criterion != SEARCH:
            return ()
        named = [name for name in self.policies.starts if name in CRITERIA]
        return self.judging.criteria or tuple(dict.fromkeys([*named, REFERENCE]))

    @property
    def costs(self) -> tuple[str, ...]:
        """Every cost that is limited, the budgets' first."""
        every = self.policies.budget[:1] + self.policies.limit
        return tuple(Budget.parse(each).cost for each in every)

    @property
    def limited(self) -> str:
        """The cost that the budgets limit, a name of `spaces.budget.COSTS`."""
        return self.costs[0]

    @property
    def reference(self) -> str:
        """The criterion that serves where a trial has none of its own."""
        if not self.searched:
            return self.judging.criterion
        return REFERENCE if REFERENCE in self.searched else self.searched[0]

    @property
    def command(self) -> str:
        """What to type for the same run."""
        fixed = (f.name for _, f in self.leaves() if not f.metadata["free"])
        told = {"budget", *self.given}
        return f"python search.py {self.typed(name for name in fixed if name in told)}"

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain lists and dicts, for ``config.json``; without the password of the database."""
        parts = {
            part: {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
            for part, values in dataclasses.asdict(self).items()
        }
        if self.run.storage is not None:
            from results import database  # SQLAlchemy takes half a second; --help needs none of it

            parts["run"]["storage"] = database.shown(self.run.storage)
        return parts

    @classmethod
    def from_dict(cls, parts: Mapping[str, Mapping[str, Any]]) -> SearchConfig:
        """The config that ``to_dict`` gave, in this version or the one before.

        One that does not say whether it distils is of a version that could not.
        """
        stored = {name: value for part in parts.values() for name, value in part.items()}
        return cls.of(**{"distill": False, **stored})
