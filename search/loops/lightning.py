"""Lightning's Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from search.loops import needs


class Lightning:
    """Trains by ``lightning.Trainer``.

    >>> loop = Lightning(MyModule, data=train_loader, gradient_clip_val=1.0)

    Args:
        module: makes the ``LightningModule`` that trains a network, which it keeps: its class, if
            that is made of a network alone. None where the network is one itself.
        data: a loader, or a ``LightningDataModule``.
        options: of the ``Trainer``; its epochs, and what is logged, saved and shown, are set by the
            search unless they are given here.

    Raises:
        UserError: lightning is not installed.
    """

    def __init__(
        self, module: Callable[[nn.Module], Any] | None = None, *, data: Any, **options: Any
    ) -> None:
        needs("lightning", "lightning")
        self._module, self._data, self._options = module, data, options

    def __call__(self, model: nn.Module, epochs: int, seed: int) -> None:
        import lightning

        lightning.seed_everything(seed, verbose=False)
        module: Any = model if self._module is None else self._module(model)
        shown = ("enable_checkpointing", "enable_progress_bar", "enable_model_summary", "logger")
        options = {**dict.fromkeys(shown, False), **self._options, "max_epochs": epochs}
        trainer = lightning.Trainer(**options)
        if self._takes_datamodule():
            trainer.fit(module, datamodule=self._data)
        else:
            trainer.fit(module, train_dataloaders=self._data)
        module.trainer = None  # it holds the data and all else of this training

    def _takes_datamodule(self) -> bool:
        import lightning

        return isinstance(self._data, lightning.LightningDataModule)
