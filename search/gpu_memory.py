"""GPU memory of trials that run at once: what they will need, as far as that is known before."""

from __future__ import annotations

import torch

from search.progress import Progress

CONTEXT = 500_000_000
"""Bytes that CUDA takes for each process, about."""


def tell(progress: Progress, device: torch.device, workers: int) -> None:
    """Say what workers on one GPU will take of its memory, and warn where it has less.

    Call it when this process has trained a network: each worker will have the same data, and
    networks of about that size.
    """
    if device.type != "cuda" or workers == 1:
        return
    each = torch.cuda.max_memory_reserved(device) + CONTEXT
    free, _ = torch.cuda.mem_get_info(device)
    line, enough = told(workers, each, free)
    (progress.say if enough else progress.warn)(line)


def told(workers: int, each: int, free: int) -> tuple[str, bool]:
    """One line, and whether the memory is enough.

    Args:
        each: bytes of a worker.
        free: bytes that no process has.
    """
    need = f"{workers} trials at once take about {_gb(workers * each)} of GPU memory"
    shares = f"{_gb(each)} each"
    if workers * each <= free:
        return f"{need}, {shares}; {_gb(free)} are free", True
    fitting = max(1, free // each)
    return (
        f"warning: {need}, {shares}, but {_gb(free)} are free: trials may fail for want of it; "
        f"--workers {fitting} would fit"
    ), False


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
