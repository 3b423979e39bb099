"""GPU memory of trials at once: what is said of it, and when."""

from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console

from search import gpu_memory
from search.gpu_memory import CONTEXT, told
from search.progress import Progress

GB = 1_000_000_000


def test_enough_is_said_and_too_little_is_warned_of_with_what_would_fit() -> None:
    assert told(8, 2 * GB, 16 * GB) == (
        "8 trials at once take about 16.0 GB of GPU memory, 2.0 GB each; 16.0 GB are free",
        True,
    )
    line, enough = told(8, 2 * GB, 7 * GB)
    assert not enough
    assert line.startswith("warning: 8 trials at once take about 16.0 GB of GPU memory")
    assert line.endswith(
        "but 7.0 GB are free: trials may fail for want of it; --workers 3 would fit"
    )


@pytest.mark.parametrize(
    ("device", "workers", "says"),
    [("cuda", 4, "4 trials at once take about 4.0 GB"), ("cuda", 1, ""), ("cpu", 4, "")],
)
def test_it_is_said_where_workers_share_a_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, workers: int, says: str
) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: GB - CONTEXT)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (5 * GB, 8 * GB))
    out = io.StringIO()
    with Progress(Console(file=out, width=200)) as progress:
        gpu_memory.tell(progress, torch.device(device), workers)
    assert out.getvalue().startswith(says)
    assert bool(out.getvalue()) == bool(says)
