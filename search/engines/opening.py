"""Opening the engine that a config names."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from search.config import SearchConfig
from search.engines import Engine
from search.engines.local import Local
from spaces.errors import UserError


def open_engine(config: SearchConfig) -> AbstractContextManager[Engine]:
    """The engine that the config asks for, connected to its cluster if it has one.

    Raises:
        UserError: Ray is not installed, nobody answers at the address, or the cluster has not
            what a trial asks for.
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
