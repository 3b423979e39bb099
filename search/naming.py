"""What the names that options take stand for, in a line each."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from prune_ops import CRITERIA, PROXIES, SENSITIVITIES, SURGERIES
from search.config import SearchConfig
from search.policies import SAMPLERS


def explained(table: Mapping[str, Any]) -> dict[str, str]:
    """Each name with the first sentence of what its thing says of itself."""
    return {name: in_a_line(thing) for name, thing in table.items()}


def in_a_line(thing: Any) -> str:
    """The first line of the docstring of a function, or of a thing's class."""
    documented = thing if inspect.isroutine(thing) else type(thing)
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def used_by(config: SearchConfig) -> dict[str, str]:
    """The criteria, sensitivities, proxies, surgery and sampler of a run, with a line on each."""
    return dict(_used(config))


def _used(config: SearchConfig) -> Iterator[tuple[str, str]]:
    names = (config.reference, *config.searched, *config.policies.starts, *config.judging.proxies)
    names = (*names, config.training.surgery)
    for table in (CRITERIA, SENSITIVITIES, PROXIES, SURGERIES):
        for name in dict.fromkeys(names):
            if name in table:
                yield name, in_a_line(table[name])
    yield config.policies.sampler, in_a_line(SAMPLERS[config.policies.sampler])
