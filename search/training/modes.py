"""In which ways a network is trained, in what precision, and when it is pruned meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST_RATE = 2.0**40
"""Of learning. No network learns at such a rate, and far above it numbers of 32 bits overflow."""

MOST_TEMPERATURE = 1e6
"""Of distillation. At such a one all outputs are alike in numbers of 32 bits."""


AUTO, FLOAT32, BFLOAT16 = PRECISIONS = ("auto", "float32", "bfloat16")
"""Of training; auto is bfloat16 on CUDA and float32 elsewhere."""


SGD, ADAMW = OPTIMIZERS = ("sgd", "adamw")
"""Of training: SGD with Nesterov momentum, or AdamW."""


@dataclass(frozen=True)
class Mode:
    """A way to train a pruned network.

    Args:
        scratch: start from fresh weights instead of inherited ones.
        equal_compute: train for epochs x FLOPs_full / FLOPs_pruned, for the computation of the
            unpruned network over ``epochs``. Distillation's forward passes come on top: they
            change no number of epochs.
    """

    scratch: bool = False
    equal_compute: bool = False


MODES: Mapping[str, Mode] = {
    "finetune": Mode(),
    "scratch-e": Mode(scratch=True),
    "scratch-b": Mode(scratch=True, equal_compute=True),
}
"""Fine-tuning, Scratch-E and Scratch-B (Liu et al. 2019, arXiv 1810.05270)."""

SCHEDULES = ("one-shot", "layerwise")
"""Pruned as a whole, or group by group with training after each."""
