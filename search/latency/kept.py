"""The tables of a run: from its study where it goes on, from the cache, or measured now."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

from results import opening, store
from results.latency import NO_TABLES, LatencyRecord
from search import cache
from search.folder import Folder
from search.latency.measuring import measured
from search.progress import Progress
from search.task.task import Task
from search.training.hardware import threads_suited_to
from spaces import ModelError, Space, UserError
from spaces.errors import in_one_line


def latency_of(
    task: Task, space: Space, folder: Folder, cached: Path, progress: Progress
) -> LatencyRecord:
    """The tables by which the time of the run's networks is limited.

    Tables of a machine that was too noisy are good for their run alone; others are cached.

    Args:
        cached: folder of the cache.

    Raises:
        ModelError: the network does not take such a batch.
    """
    if folder.begun and (kept := _kept(folder)):
        return kept
    batch = folder.config.policies.latency_batch
    if batch > 1 and not space.batched:
        raise ModelError(
            "--latency-batch needs a network whose inputs come in batches, but this one takes one "
            "item at a time; leave it out"
        )
    with threads_suited_to(task.example):
        device, threads = str(task.device), torch.get_num_threads()
        if task.device.type == "cuda":
            device = torch.cuda.get_device_name(task.device)
        choices = [group.choices for group in space.groups]
        about = (space.fingerprint, choices, batch, device, threads, torch.__version__)
        path = cached / f"latency-{cache.key(*about)}.pt"
        if known := cache.load(path):
            return LatencyRecord.from_json(known["tables"])
        progress.waiting("measuring how long networks of other widths take")
        must = f"the network must take {batch} items at once, but that fails with"
        with in_one_line(ModelError, must, "give a smaller --latency-batch"):
            record = measured(task.model, space, batch)
    if record.too_noisy:
        progress.warn(f"warning: {record.sentence}")
    else:
        progress.say(record.sentence)
        cache.save(path, {"tables": record.to_json()})
    return record


def _kept(folder: Folder) -> LatencyRecord:
    with suppress(UserError), opening.open_run(folder.path, folder.config.run.storage) as study:
        kept: LatencyRecord = store.load(study, store.SPACE).latency
        return kept
    return NO_TABLES
