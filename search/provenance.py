"""The provenance of a result: config, versions, commit, device."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace

import torch

from prune_ops import WAYS
from results import text
from results.compression import Way
from results.data import RunData
from results.metric import MetricInfo
from results.provenance import Baseline, Frozen, Group, Provenance
from results.rules import TOLERANCE
from results.spending import times_tested
from search.config import SearchConfig
from search.naming import used_by
from search.task.task import Task
from search.training.objective import ACCURACY, Metric
from search.training.own_loop import name_of
from search.training.specs import Specs
from search.versions import commit, versions
from spaces import Budget, Space
from spaces.budget import FLOPS
from spaces.inputs import tensors


def provenance(
    name: str, config: SearchConfig, task: Task, space: Space, budgets: Sequence[Budget]
) -> Provenance:
    """What the report needs beyond the records, as far as it is known when the run begins."""
    return Provenance(
        run=name,
        task=task.name,
        metric=metric_info(task.metric),
        fresh_import=_fresh(config, task)[0],
        fresh=_fresh(config, task)[1],
        config=config.to_dict(),
        reference=config.reference,
        versions=versions(),
        commit=commit(),
        device=_device(task.device),
        baseline=Baseline(space.full_flops, space.full_params),
        budgets={str(budget): space.limit(budget) for budget in budgets},
        limited=config.limited,
        limits={str(limit): space.limit(limit) for limit in space.limits},
        full_flops=space.full_flops,
        full_spent=None if config.limited == FLOPS else space.cost(config.limited, space.full),
        tolerance=TOLERANCE,
        groups=tuple(Group(g.name, g.channels) for g in space.groups),
        frozen=tuple(Frozen(f.name, f.channels, f.reason) for f in space.frozen),
        uncounted=tuple(uncounted(space)),
        classes=task.class_names,
        train_images=len(task.train),
        val_images=len(task.validation),
        test_images=len(task.test),
        base_epochs=task.base_epochs,
        recipe=_recipe(config, task, space),
        test_reads=0,
        names=used_by(config),
        ways={name: Way(WAYS[name].label, WAYS[name].note) for name in WAYS},
    )


def metric_info(metric: Metric) -> MetricInfo:
    """A metric as the report has it."""
    counts_images = metric == ACCURACY
    return MetricInfo(metric.name, metric.unit, metric.higher_is_better, counts_images)


def _recipe(config: SearchConfig, task: Task, space: Space) -> str:
    if task.train_loop is not None:
        return f"by the user's own loop, {name_of(task.train_loop)}"
    specs = Specs(config, space, len(task.train))
    return str(specs.recipe(specs.in_mode(space.full, 1)))


def _fresh(config: SearchConfig, task: Task) -> tuple[str, str]:
    """Lines that build the unpruned network of a task by name: an import, and an expression."""
    asked = config.task
    own, ending = (asked.task, "().model") if asked.task is not None else (asked.model, "()")
    if asked.task is not None or (":" in own and task.classes is None):
        module, _, name = own.partition(":")
        return f"from {module} import {name}", f"{name}{ending}"
    channels = tensors(task.example)[0].shape[1]
    size = f"classes={task.classes}, in_channels={channels}"
    return "from search import models", f"models.build({asked.model!r}, {size})"


def uncounted(space: Space) -> list[dict[str, str]]:
    """The operations with weights that no count includes, as plain data."""
    return [{"module": u.module, "operation": u.operation} for u in space.uncounted]


def of_parts(space: Space) -> str:
    """That flops and budgets are of parts of the network only, and how much the rest takes; a
    clause, empty where they are of the whole."""
    if not space.inside:
        return ""
    told = f"FLOPs and budgets are those of {text.listed(space.inside)}, inside which is pruned"
    if space.outside_flops is None:
        return f"{told}; the rest of the network cannot be counted"
    share = space.outside_flops / (space.outside_flops + space.full_flops)
    return f"{told}; the rest takes {space.outside_flops:,} more, {share:.0%} of all"


def tested(about: Provenance, run: RunData) -> Provenance:
    """Provenance with what is known only after networks were tested."""
    about = replace(about, test_reads=times_tested(run)[0])
    for final in run.finals:
        if final.role == "baseline":
            scores = final.val_accuracy[0], final.test_accuracy[0]
            return replace(about, baseline=Baseline(final.flops, final.params, *scores))
    return about


def _device(used: torch.device) -> str:
    """``cpu (x86_64, 2 threads)`` or the name of the GPU."""
    if used.type == "cuda":
        return torch.cuda.get_device_name(used)
    return f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
