"""What loggers keep of records: figures by name, without those that were not measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from results.data import RunData
from results.decision import decisions
from results.metric import ACCURACY, MetricInfo
from results.pareto import trial_front, volume_of
from results.record import TrialRecord
from results.training import TrainingRecord

PROJECT = "pruning-policy-search"
"""What a run belongs to, unless the user says otherwise."""

Figures = dict[str, float]


def of_trial(record: TrialRecord, metric: MetricInfo = ACCURACY) -> Figures:
    """The metric is that on the validation split, shares as fractions; ``seconds`` wall time.

    >>> of_trial(record)
    {'rung': 2, 'flops': 65212, 'flops_fraction': 0.49, ..., 'proxy/reconstructed': 0.93}
    """
    figures = {
        "rung": record.rung,
        "flops": record.flops,
        "flops_fraction": record.flops_fraction,
        "params": record.params,
        "seconds": record.seconds,
        metric.column("val"): metric.sign * record.val_accuracy,
    }
    if record.spent is not None and record.spent_fraction is not None:
        figures |= {"spent": record.spent, "spent_fraction": record.spent_fraction}
    return _finite(figures | {f"proxy/{name}": score for name, score in record.proxies.items()})


def of_training(record: TrainingRecord, metric: MetricInfo = ACCURACY) -> Figures:
    """The same of a training; on the test split where that was read."""
    figures = {
        "seed": record.seed,
        "epochs": record.spec.epochs,
        "lr": record.spec.lr,
        "flops": record.flops,
        "training_flops": record.training_flops,
        "seconds": record.seconds,
        metric.column("val"): metric.sign * record.val_accuracy,
        metric.column("test"): metric.sign * record.test_accuracy,
    }
    return _finite(figures)


def group_of(record: TrainingRecord) -> str:
    """The purpose of a training as a name of figures: ``gain_steps``."""
    return record.purpose.replace(" ", "_")


def of_run(run: RunData) -> Figures:
    """The networks to ship, those of several budgets apart, and the front. What is lost is above 0
    where the network is worse than the unpruned one, whatever the direction of the metric."""
    made, metric = list(decisions(run)), run.metric
    figures: Figures = {}
    for decision in made:
        where = f"{decision.final.budget}/" if len(made) > 1 else ""
        own = {
            metric.column("test"): metric.sign * decision.accuracy,
            f"{metric.column()}_lost": decision.lost,
            "flops": decision.final.flops,
            "flops_fraction": decision.final.flops_fraction,
            "params": decision.final.params,
        }
        figures |= {f"ship/{where}{name}": value for name, value in own.items()}
    front = trial_front(run.records)
    volume = volume_of(front) if front and metric.is_share else math.nan
    return _finite(figures | {"front/networks": len(front), "front/hypervolume": volume})


def words_of(run: RunData) -> str:
    """What to ship, a sentence for each budget."""
    return " ".join(decision.sentence for decision in decisions(run))


def plain_options(options: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Options as single values: several as they are typed, none as empty text."""
    return {
        name: value
        if isinstance(value, bool | int | float)
        else " ".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value or "")
        for name, value in options.items()
    }


def _finite(figures: Mapping[str, float]) -> Figures:
    return {name: value for name, value in figures.items() if math.isfinite(value)}
