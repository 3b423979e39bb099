"""Which policies are tried: starts, the sampler, what it is shown of a long study."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from spaces.table import Table

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SURROGATE = "surrogate"

SAMPLERS: Table[Callable[..., BaseSampler]] = Table(
    "search.policies.samplers",
    {name: f":{name}" for name in ("gp", "nsga2", "nsga3", "qmc", "random", SURROGATE, "tpe")},
)
"""Every sampler by name: ``SAMPLERS[name](plan, seed)``."""
