"""CompareConfig: what a comparison may be asked for; its flags are made from it."""

from __future__ import annotations

import dataclasses
import math
import shlex
from dataclasses import dataclass
from typing import Any

from results import ARMS
from search.comparison.structures import STRUCTURES
from search.config import check_types, flag, option
from spaces.errors import UserError, unknown

INTERVALS = ("t", "bootstrap")


@dataclass(frozen=True)
class CompareConfig:
    """the comparison of fine-tuning with training from scratch"""

    seeds: int = option(3, "trainings of each network; fewer than 2 give no interval")
    structures: tuple[str, ...] = option(
        ("searched", "uniform"), "whose widths are trained", names=STRUCTURES
    )
    arms: tuple[str, ...] = option(tuple(ARMS), "how they are trained", names=ARMS)
    front: int = option(4, "most policies of the searched front at each budget")
    finetune_epochs: int | None = option(None, "of fine-tuning (default: the run's --final-epochs)")
    base_epochs: int | None = option(
        None,
        "of training from scratch: those the unpruned network had (default: what it was trained "
        "for here; with --weights 20)",
    )
    rates: tuple[float, ...] = option(
        (0.1, 0.03, 0.01, 0.003, 0.001), "learning rates that the sweep tries for fine-tuning"
    )
    sweep_epochs: int | None = option(None, "of each try (default: a third of --finetune-epochs)")
    sparsity: float = option(1e-4, "of slimming: the L1 penalty on the scales of BatchNorm")
    interval: str = option("t", "of the differences", names=INTERVALS)
    anew: bool = option(False, "throw away what an earlier comparison of this run measured")

    def __post_init__(self) -> None:
        check_types(self)
        for field in dataclasses.fields(self):
            known, value = field.metadata["names"], getattr(self, field.name)
            for one in value if isinstance(value, tuple) else (value,):
                if known and one not in known:
                    raise unknown(field.name, one, known)
        for name in ("structures", "arms", "rates"):
            several = getattr(self, name)
            if len(set(several)) < len(several):
                raise UserError(
                    f"{flag(name)} must name different ones, but got {' '.join(map(str, several))}"
                )
        for name in ("seeds", "front", "finetune_epochs", "base_epochs", "sweep_epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{flag(name)} must be at least 1, but got {value}")
        if not self.rates or not all(0 < rate < math.inf for rate in self.rates):
            got = " ".join(map(str, self.rates)) or "none"
            raise UserError(f"--rates must be finite numbers above 0, but got {got}")
        if not 0 <= self.sparsity < math.inf:
            raise UserError(f"--sparsity must be at least 0, but got {self.sparsity}")
        if not self.structures or not self.arms:
            raise UserError("--structures and --arms must name at least one each, but got none")

    @classmethod
    def of(cls, **options: Any) -> CompareConfig:
        """The defaults with these options; lists may stand for tuples.

        Raises:
            UserError: no such option, or a value that cannot be.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                raise unknown("option", name, known)
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in options.items()
        }
        return cls(**given)

    @property
    def given(self) -> dict[str, Any]:
        """Those options that are not as by default."""
        pairs = ((f, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {field.name: value for field, value in pairs if value != field.default}

    @property
    def flags(self) -> str:
        """What to type for this config, but for ``--anew``."""
        words = []
        for name, value in self.given.items():
            if name != "anew":
                several = value if isinstance(value, tuple) else (value,)
                words += [flag(name), *map(str, several)]
        return shlex.join(words)
