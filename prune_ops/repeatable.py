"""repeatable: gradients that are the same every time on CUDA too, of every network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def repeatable(model: nn.Module) -> Iterator[None]:
    """For forward and backward passes of ``model``.

    cuDNN's quickest backward passes add up in another order each time, so do without them. Its
    recurrent layers have no backward pass in eval mode, so do without it where there are any.
    """
    cudnn = torch.backends.cudnn
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    before = cudnn.enabled, cudnn.deterministic, cudnn.benchmark
    cudnn.enabled, cudnn.deterministic, cudnn.benchmark = before[0] and not recurrent, True, False
    try:
        yield
    finally:
        cudnn.enabled, cudnn.deterministic, cudnn.benchmark = before
