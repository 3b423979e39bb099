"""Hugging Face's Trainer."""

from __future__ import annotations

import copy
import tempfile
from typing import Any

from torch import nn

from search.loops import needs


class HuggingFace:
    """Trains by ``transformers.Trainer``.

    >>> arguments = TrainingArguments("out", learning_rate=5e-5, per_device_train_batch_size=16)
    >>> loop = HuggingFace(arguments, train_dataset=encoded, data_collator=collate)

    Args:
        arguments: as of any training; its epochs, seeds, and what is evaluated, saved and logged
            are set by the search.
        trainer: ``Trainer``, or a class of yours that inherits from it.
        parts: what else it is given: ``train_dataset``, ``data_collator``, ...

    Raises:
        UserError: transformers or accelerate is not installed.
    """

    def __init__(self, arguments: Any, trainer: type | None = None, **parts: Any) -> None:
        needs("huggingface", "transformers", "accelerate")
        self._arguments, self._trainer, self._parts = arguments, trainer, parts

    def __call__(self, model: nn.Module, epochs: int, seed: int) -> nn.Module:
        from transformers import PrinterCallback, Trainer

        arguments = copy.copy(self._arguments)
        arguments.num_train_epochs, arguments.max_steps = epochs, -1
        arguments.seed = arguments.data_seed = seed
        arguments.save_strategy = arguments.eval_strategy = arguments.logging_strategy = "no"
        arguments.load_best_model_at_end, arguments.report_to = False, []
        arguments.disable_tqdm = True
        with tempfile.TemporaryDirectory() as arguments.output_dir:  # it is made though unused
            trainer: Any = (self._trainer or Trainer)(model=model, args=arguments, **self._parts)
            trainer.remove_callback(PrinterCallback)  # which says how long a training took
            trainer.train()
        trained: nn.Module = trainer.accelerator.unwrap_model(
            trainer.model, keep_fp32_wrapper=False
        )
        return trained
