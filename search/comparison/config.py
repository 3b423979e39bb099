"""CompareConfig: the options of a comparison; its flags are made from it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from results import ARMS
from search.options import Options, flag, option, shown
from search.training.modes import MOST_RATE
from spaces.errors import UserError

DEFAULT_ARMS = tuple(name for name, arm in ARMS.items() if not arm.on_request)
ON_REQUEST = tuple(name for name, arm in ARMS.items() if arm.on_request)
STRUCTURES = ("searched", "uniform", "l1", "thinet", "slimming")
FULL: dict[str, Any] = {"seeds": 8, "structures": STRUCTURES, "arms": tuple(ARMS)}
"""What ``full`` has where these options are not given."""


@dataclass(frozen=True)
class CompareConfig(Options):
    """the comparison of fine-tuning with training from scratch"""

    full: bool = option(
        False,
        f"{FULL['seeds']} seeds, every arm and every structure that the network can have, unless "
        "these are given; keeps what was compared before",
        free=True,
        first=True,
    )
    seeds: int = option(
        3,
        "trainings of each network; fewer than 2 give no interval",
        least=1,
        free=True,
        first=True,
    )
    structures: tuple[str, ...] = option(
        ("searched", "uniform"),
        "whose widths are trained",
        names=STRUCTURES,
        free=True,
        first=True,
    )
    arms: tuple[str, ...] = option(
        DEFAULT_ARMS,
        f"how each is trained (default: all but {', '.join(ON_REQUEST)})",
        names=ARMS,
        free=True,
        first=True,
    )
    front: int = option(4, "most policies of the front at each budget", least=1, free=True)
    finetune_epochs: int | None = option(
        None, "epochs of fine-tuning (default: the run's --final-epochs)", least=1
    )
    base_epochs: int | None = option(
        None,
        "epochs of training from scratch: those the unpruned network had (default: what it was "
        "trained for here; with --weights 20)",
        least=1,
    )
    rates: tuple[float, ...] = option(
        (0.1, 0.03, 0.01, 0.003, 0.001),
        "learning rates that the sweep tries for fine-tuning (default: 0.1 0.03 0.01 0.003 0.001, "
        "with --optimizer adamw a tenth of these)",
    )
    sweep_epochs: int | None = option(
        None, "epochs of each rate in the sweep (default: a third of --finetune-epochs)", least=1
    )
    slimming_sparsity: float = option(
        1e-4, "of structure slimming: L1 penalty on the scales of BatchNorm", least=0, most=1
    )
    anew: bool = option(False, "discard what an earlier comparison measured", free=True)

    def rules(self) -> Iterator[str]:
        rates = self.rates
        if not rates or not all(0 < rate <= MOST_RATE for rate in rates):
            must = f"--rates must be above 0 and at most {MOST_RATE:g}"
            yield f"{must}, but got {shown(rates) or 'none'}"
        if len(set(rates)) < len(rates):
            yield f"--rates must name different ones, but got {shown(rates)}"
        if not self.structures or not self.arms:
            yield "--structures and --arms must name at least one each, but got none"

    def useless(self, given: Collection[str], own_loop: bool = False) -> Iterator[str]:
        """A line for each of the given options that nothing which is compared depends on.

        Args:
            own_loop: whether the user's own loop trains.
        """
        for name in ("rates", "sweep_epochs", "slimming_sparsity"):
            if own_loop and name in given:
                yield (
                    f"{flag(name)} is of our own training loop, but another trains; leave "
                    f"{flag(name)} out"
                )
        serves = {
            "rates": ("arms", [name for name, arm in ARMS.items() if arm.swept]),
            "sweep_epochs": ("arms", [name for name, arm in ARMS.items() if arm.swept]),
            "slimming_sparsity": ("structures", ["slimming"]),
            "front": ("structures", ["searched"]),
        }
        for name, (where, served) in serves.items():
            has = self.values[where]
            if name in given and not set(served) & set(has):
                yield (
                    f"{flag(name)} serves {flag(where)} {' '.join(served)}, but got "
                    f"{flag(where)} {shown(has)}; add one, or leave {flag(name)} out"
                )

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Split the options of ``compare`` into those of the comparison and those of the search."""
        names = {*cls().spellings(), "interval"}
        own = {name: value for name, value in options.items() if name in names}
        return own, {name: value for name, value in options.items() if name not in names}

    @classmethod
    def asked(cls, options: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> Self:
        """These options; one that is not given is that of ``full``, if it is, or as it was before.

        Args:
            before: the stored options of the comparison that is gone on with, of this version or
                the one before.
        """
        renamed = {"sparsity": "slimming_sparsity"}
        stored = {renamed.get(name, name): value for name, value in (before or {}).items()}
        stored.pop("interval", None)
        full = FULL.copy() if options.get("full") else {}
        if full and "seeds" in stored:
            full["seeds"] = max(full["seeds"], stored["seeds"])
        return cls.of(**{**stored, **full, **options})

    def having(self, **options: Any) -> Self:
        """``interval`` of an older version may be among them, as ``t``; it changes nothing."""
        interval = options.pop("interval", "t")
        if interval != "t":
            raise UserError(
                f"--interval must be t, but got {interval}; a bootstrap of fewer than ten seeds "
                "bears no claim, so leave it out"
            )
        return super().having(**options)

    @property
    def distils(self) -> bool:
        """Whether an arm that was asked for by name learns from the unpruned network."""
        return not self.takes_all("arms") and any(ARMS[arm].distils for arm in self.arms)

    def is_usual(self, name: str) -> bool:
        """Whether an option is as by default."""
        return bool(self.values[name] == getattr(type(self), name))

    def takes_all(self, name: str) -> bool:
        """Whether ``structures`` or ``arms`` are all that can be, rather than those named."""
        return self.full and set(self.values[name]) == set(FULL[name])

    @property
    def flags(self) -> str:
        """The flags of this config, without ``--anew``."""
        usual = CompareConfig().values | (FULL if self.full else {})
        values = self.values
        return self.typed(n for n in values if n != "anew" and values[n] != usual[n])
