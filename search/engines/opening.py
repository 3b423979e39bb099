"""The engine that a config names."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from search.config import SearchConfig
from search.engines import Engine
from search.engines.local import Local
from spaces.errors import UserError


def open_engine(config: SearchConfig) -> AbstractContextManager[Engine]:
    """Open the engine of the config; with Ray, connected to its cluster.

    Raises:
        UserError: Ray is not installed, nothing answers at the address, or no node has what a
            trial takes.
    """
    if config.run.engine == "ray":
        try:
            from search.engines.ray_tune import ray_tune
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != "ray":
                raise
            raise UserError(
                "--engine ray needs Ray Tune, which is not installed; pip install 'ray[tune]'"
            ) from None
        return ray_tune(config)
    return nullcontext(Local(config.run.workers or 1))
