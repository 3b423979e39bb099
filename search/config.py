"""SearchConfig: everything a run depends on, as one tree of frozen dataclasses.

The command line is made from this tree (``search.cli``), a run's ``config.json`` holds it, and
resuming compares two of them. A part's docstring is its heading in ``--help``; a field's metadata
holds its help text and, where its value is a name from a table, that table.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import shlex
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prune_ops import CRITERIA, IMPORTANCES, PROXIES, SURGERIES, WAYS
from prune_ops.criteria import ALIASES
from results import database
from search.engines import ENGINES
from search.layerwise import SCHEDULES
from search.plain import check_plain
from search.sampler import SAMPLERS
from search.train import MODES
from spaces import Budget, UserError, unknown

SEARCH = "search"
"""In the place of a criterion: which one a trial has is searched beside its widths."""

REFERENCE = "second_order"
"""Of several criteria the one that judges them all, if it is among them."""

KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "True or False",
    type(None): "None",
}
"""What a type of an option is called."""

MOST_EPOCHS = 10**6
"""Of any training. More is a slip of the keyboard, and would never end."""


def option(default: Any, help: str, *, names: Iterable[str] = (), free: bool = False) -> Any:
    """A field with its help text; a ``free`` one may change when a run is resumed."""
    return field(default=default, metadata={"help": help, "names": tuple(names), "free": free})


@dataclass(frozen=True)
class TaskConfig:
    """what is pruned"""

    model: str = option("digits_cnn", "a model by name, or package.module:function")
    weights: str | None = option(None, "its trained state_dict (default: train it here)")
    sparsity: float = option(
        0.0, "if trained here: L1 penalty on the scales of BatchNorm (slimming: 1e-4)"
    )
    data: str = option(
        "digits", "digits, cifar10, fashion-mnist, imagefolder:PATH or package.module:function"
    )
    image_size: int | None = option(None, "side of the images in pixels (default: the data's)")
    train_images: int | None = option(None, "train on so many images (default: all)")
    round_to: int | None = option(None, "widths are multiples of this (default: 8, narrow: finer)")
    device: str = option("auto", "auto is cuda where there is one", names=("auto", "cpu", "cuda"))


@dataclass(frozen=True)
class PolicyConfig:
    """which policies are tried"""

    budget: tuple[str, ...] = option(
        ("0.5",), "most flops to keep, as a fraction or absolute (60M); several share one run"
    )
    trials: int = option(48, "how many policies to try, all budgets together")
    sampler: str = option("tpe", "who proposes them", names=SAMPLERS)
    starts: tuple[str, ...] = option(
        ("l1", "taylor_2019", "second_order", "iso_damage"),
        "tried first, after uniform widths: rankings of all channels by criteria, and the widths "
        "of layer_damage, accuracy_drop and iso_damage",
        names=(*CRITERIA, *IMPORTANCES),
    )
    seed: int = option(0, "of everything that is random")


@dataclass(frozen=True)
class JudgeConfig:
    """how a policy is judged"""

    criterion: str = option(
        "second_order",
        "says which channels stay (search: it is searched beside the widths)",
        names=(*CRITERIA, SEARCH),
    )
    criteria: tuple[str, ...] = option(
        (),
        "of --criterion search (default: second_order and those of the --starts)",
        names=CRITERIA,
    )
    proxies: tuple[str, ...] = option(
        ("predicted_damage", "adaptive_bn"), "measured at rung 0", names=PROXIES
    )
    rank_by: str = option("adaptive_bn", "the proxy that decides at rung 0", names=PROXIES)
    rungs: tuple[int, ...] = option((1, 3), "epochs of training at each rung above 0")
    eta: float = option(2.0, "one in ETA of equally large networks climbs on from a rung")
    coin: float = option(0.1, "share of trials that climb on whatever their score")
    repeats: int = option(6, "trained twice at the top rung: how much of an accuracy is luck")


@dataclass(frozen=True)
class TrainConfig:
    """how a pruned network is trained"""

    train: str = option("finetune", "from inherited or from fresh weights", names=MODES)
    lr: float | None = option(None, "peak learning rate; it anneals to zero (default: the mode's)")
    batch_size: int | None = option(None, "images a step (default: 128, small data: 32)")
    surgery: str = option("plain", "what becomes of the kept weights", names=SURGERIES)
    schedule: str = option(
        "one-shot",
        "layerwise: finals are pruned group by group, trained after each",
        names=SCHEDULES,
    )
    layer_epochs: int = option(1, "with layerwise: epochs after each group")
    final_epochs: int = option(12, "epochs of the final training of the front")
    final_seeds: int = option(3, "final trainings of each policy")
    beside: tuple[str, ...] = option(
        (), "other ways to compress, to set beside the finals", names=WAYS
    )


@dataclass(frozen=True)
class RunConfig:
    """the run"""

    name: str = option("", "its folder in RUNS_DIR (default: made from data and budget)", free=True)
    runs_dir: str = option("runs", "where runs are kept", free=True)
    resume: bool = option(False, "go on with the named, or the latest unfinished, run", free=True)
    storage: str | None = option(
        None, "database of the study, postgresql://USER@HOST/DB (default: study.db)", free=True
    )
    engine: str = option("local", "who runs the trials", names=ENGINES, free=True)
    workers: int | None = option(
        None, "trials at once (default: 1; with ray as many as the cluster holds)", free=True
    )
    address: str | None = option(
        None, "with ray: the cluster, auto or HOST:PORT (default: Ray on this machine)", free=True
    )
    cpus_per_trial: float = option(1.0, "with ray: cores of a trial", free=True)
    gpus_per_trial: float | None = option(
        None, "with ray: 0.25 puts four on a GPU (default: 1 if there are any)", free=True
    )


@dataclass(frozen=True)
class SearchConfig:
    """All of it.

    >>> config = SearchConfig.of(budget=0.5, trials=64, sampler="nsga2")
    >>> config.policies.budget, config.judging.rungs
    (('0.5',), (1, 3))

    Raises:
        UserError: a value that cannot be; one line that says what must hold and what came.
    """

    task: TaskConfig = TaskConfig()
    policies: PolicyConfig = PolicyConfig()
    judging: JudgeConfig = JudgeConfig()
    training: TrainConfig = TrainConfig()
    run: RunConfig = RunConfig()

    def __post_init__(self) -> None:
        for part in vars(self).values():
            check_types(part)
        _check_names(self)
        _check_criteria(self)
        _check_numbers(self)
        _check_inheritance(self)

    @classmethod
    def of(cls, **options: Any) -> SearchConfig:
        """The defaults with these options, each by its flat name."""
        return cls().having(**options)

    def having(self, **options: Any) -> SearchConfig:
        """This config with other values for these options."""
        known = {option.name for _, option in fields(self)}
        for name in options:
            if name not in known:
                raise unknown("option", name, known)
        given = {name: _normal(name, value) for name, value in options.items()}
        return SearchConfig(
            **{
                part.name: dataclasses.replace(
                    getattr(self, part.name), **_among(given, getattr(self, part.name))
                )
                for part in dataclasses.fields(self)
            }
        )

    @property
    def searched(self) -> tuple[str, ...]:
        """The criteria of which every trial has one; none where one serves all of them."""
        if self.judging.criterion != SEARCH:
            return ()
        named = [name for name in self.policies.starts if name in CRITERIA]
        return self.judging.criteria or tuple(dict.fromkeys([*named, REFERENCE]))

    @property
    def reference(self) -> str:
        """The criterion that serves where a trial has none of its own."""
        if not self.searched:
            return self.judging.criterion
        return REFERENCE if REFERENCE in self.searched else self.searched[0]

    @property
    def final_seeds(self) -> list[int]:
        """Of the final trainings; the same for every network, so that they can be paired."""
        return [self.policies.seed + k for k in range(self.training.final_seeds)]

    @property
    def command(self) -> str:
        """What to type for the same run."""
        words = ["python", "search.py"]
        for part, option in fields(self):
            value = getattr(getattr(self, part), option.name)
            if option.name == "budget" or not (option.metadata["free"] or value == option.default):
                several = value if isinstance(value, tuple) else (value,)
                words += [flag(option.name), *map(str, several)]
        return shlex.join(words)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain lists and dicts, for ``config.json``; without the password of the database."""
        parts = {
            part: {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
            for part, values in dataclasses.asdict(self).items()
        }
        if self.run.storage is not None:
            parts["run"]["storage"] = database.shown(self.run.storage)
        return parts

    @classmethod
    def from_dict(cls, parts: Mapping[str, Mapping[str, Any]]) -> SearchConfig:
        """The config that ``to_dict`` gave."""
        return cls.of(**{name: value for part in parts.values() for name, value in part.items()})

    def differences(self, other: SearchConfig) -> list[str]:
        """In words, where two configs would not give the same run."""
        return [
            f"{flag(option.name)} {_shown(mine)} there, {_shown(theirs)} here"
            for part, option in fields(self)
            if not option.metadata["free"]
            and (mine := getattr(getattr(self, part), option.name))
            != (theirs := getattr(getattr(other, part), option.name))
        ]


def fields(config: SearchConfig) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Every option with the name of its part, in the order of the tree."""
    for part in dataclasses.fields(config):
        for each in dataclasses.fields(getattr(config, part.name)):
            yield part.name, each


def flag(name: str) -> str:
    """``final_epochs`` as ``--final-epochs``."""
    return "--" + name.replace("_", "-")


def _among(given: Mapping[str, Any], part: Any) -> dict[str, Any]:
    return {f.name: given[f.name] for f in dataclasses.fields(part) if f.name in given}


def _normal(name: str, value: Any) -> Any:
    """Lists become tuples, paths text; a budget may be one number."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if name == "budget":
        several = value if isinstance(value, list | tuple) else (value,)
        return tuple(str(Budget.parse(one)) for one in several)
    return tuple(value) if isinstance(value, list) else value


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def check_types(part: Any) -> None:
    """Hold every field of a part of a config against its type.

    Raises:
        UserError: text for a number, say, or a fraction for a count.
    """
    hints = typing.get_type_hints(type(part))
    for option in dataclasses.fields(part):
        hint, value = hints[option.name], getattr(part, option.name)
        several = typing.get_origin(hint) is tuple
        kinds = [k for k in typing.get_args(hint) or (hint,) if k is not Ellipsis]
        values = value if several and isinstance(value, tuple) else (value,)
        if several != isinstance(value, tuple) or not all(_is_of(v, kinds) for v in values):
            shown = " or ".join(KINDS[kind] for kind in kinds)
            many = f"several values, each {shown}" if several else shown
            raise UserError(f"{flag(option.name)} must be {many}, but got {value!r}")
        for one in values:
            if isinstance(one, str):
                check_plain(flag(option.name), one)


def _is_of(value: Any, kinds: Iterable[Any]) -> bool:
    """A whole number is a number too, and True is neither."""
    abstract = {int: numbers.Integral, float: numbers.Real}
    fit = any(isinstance(value, abstract.get(kind, kind)) for kind in kinds)
    return fit and (bool in kinds or not isinstance(value, bool))


def _check_names(config: SearchConfig) -> None:
    for part, option in fields(config):
        names, value = option.metadata["names"], getattr(getattr(config, part), option.name)
        for one in value if isinstance(value, tuple) else (value,):
            if names and one not in names:
                raise unknown(flag(option.name).strip("-"), one, names)
        if names and isinstance(value, tuple) and len(set(value)) < len(value):
            raise UserError(
                f"{flag(option.name)} must name different ones, but got {_shown(value)}; "
                "name each once"
            )
    if config.judging.rank_by not in config.judging.proxies:
        raise UserError(
            f"--rank-by must be one of the --proxies ({_shown(config.judging.proxies)}), "
            f"but got {config.judging.rank_by!r}; add it there"
        )
    if Path(config.run.name).name != config.run.name:
        raise UserError(f"--name must name a folder in --runs-dir, but got {config.run.name!r}")


def _check_criteria(config: SearchConfig) -> None:
    criterion, criteria = config.judging.criterion, config.judging.criteria
    if criteria and criterion != SEARCH:
        raise UserError(
            f"--criteria are those of --criterion search, but got --criterion {criterion}; "
            "leave one of the two out"
        )
    if criterion != SEARCH:
        return
    if len(config.searched) < 2:
        raise UserError(
            f"--criteria must name at least 2 different ones, but got {_shown(config.searched)}; "
            "name more, or give that one as --criterion"
        )
    for alias, name in ALIASES.items():
        if {alias, name} <= {*config.searched}:
            raise UserError(
                f"--criteria must name different ones, but got {_shown(config.searched)}, and "
                f"{alias} is {name} by another name; leave one of the two out"
            )
    if MODES[config.training.train].scratch:
        raise UserError(
            f"--criterion search needs --train finetune, but got {config.training.train}: fresh "
            "weights are the same under every criterion; leave one of the two out"
        )


def _check_numbers(config: SearchConfig) -> None:
    rungs = config.judging.rungs
    for name, value, least, most in (
        ("trials", config.policies.trials, 1, 10**6),
        ("seed", config.policies.seed, 0, 2**32 - 1),
        ("repeats", config.judging.repeats, 0, 10**6),
        ("image_size", config.task.image_size, 1, 2**13),
        ("train_images", config.task.train_images, 1, 2**40),
        ("round_to", config.task.round_to, 1, 2**20),
        ("batch_size", config.training.batch_size, 1, 2**20),
        ("layer_epochs", config.training.layer_epochs, 1, MOST_EPOCHS),
        ("final_epochs", config.training.final_epochs, 1, MOST_EPOCHS),
        ("final_seeds", config.training.final_seeds, 1, 1000),
        ("workers", config.run.workers, 1, 1000),
    ):
        if value is not None and value < least:
            raise UserError(f"{flag(name)} must be at least {least}, but got {value}")
        if value is not None and value > most:
            raise UserError(f"{flag(name)} must be at most {most:,}, but got {value:,}")
    budgets = config.policies.budget
    if len(set(budgets)) < len(budgets):
        raise UserError(f"--budget must name different budgets, but got {_shown(budgets)}")
    if not rungs or min(rungs) < 1 or list(rungs) != sorted(set(rungs)):
        raise UserError(f"--rungs must be rising numbers of epochs, but got {_shown(rungs)}")
    if max(rungs) > MOST_EPOCHS:
        raise UserError(f"--rungs must be at most {MOST_EPOCHS:,}, but got {max(rungs):,}")
    if not config.judging.eta > 1 or math.isinf(config.judging.eta):
        raise UserError(f"--eta must be above 1, but got {config.judging.eta}")
    if not 0 <= config.judging.coin <= 1:
        raise UserError(f"--coin must be between 0 and 1, but got {config.judging.coin}")
    run = config.run
    if run.cpus_per_trial == 0:
        raise UserError("--cpus-per-trial must be above 0, but got 0; a half of a core is 0.5")
    for name, share in (
        ("cpus_per_trial", run.cpus_per_trial),
        ("gpus_per_trial", run.gpus_per_trial),
    ):
        if share is not None and not 0 <= share < math.inf:
            raise UserError(f"{flag(name)} must be at least 0, but got {share}")
    if run.address is not None and run.engine != "ray":
        raise UserError("--address is of a Ray cluster, but got --engine local; add --engine ray")
    if run.gpus_per_trial is not None and run.engine != "ray":
        raise UserError(
            "--gpus-per-trial is for a Ray cluster, but got --engine local; add --engine ray, or "
            "use --device"
        )
    lr = config.training.lr
    if lr is not None and not 0 < lr < math.inf:
        raise UserError(f"--lr must be above 0, but got {lr}")
    sparsity = config.task.sparsity
    if not 0 <= sparsity < math.inf:
        raise UserError(f"--sparsity must be at least 0, but got {sparsity}")


def _check_inheritance(config: SearchConfig) -> None:
    """What acts on weights that are inherited, or on a network that is trained here."""
    asked = config.training
    if MODES[asked.train].scratch:
        for name, value, usual in (
            ("surgery", asked.surgery, "plain"),
            ("schedule", asked.schedule, "one-shot"),
        ):
            if value != usual:
                raise UserError(
                    f"{flag(name)} {value} acts on inherited weights, but --train {asked.train} "
                    f"has none; use --train finetune or {flag(name)} {usual}"
                )
    if asked.layer_epochs != TrainConfig.layer_epochs and asked.schedule != "layerwise":
        raise UserError(
            f"--layer-epochs are of --schedule layerwise, but got --schedule {asked.schedule}; add "
            "--schedule layerwise, or leave --layer-epochs out"
        )
    if config.task.sparsity and config.task.weights is not None:
        raise UserError(
            "--sparsity is of the unpruned network's training, but --weights are trained already; "
            "leave one of them out"
        )
