"""Records → tidy tables: pandas in a notebook, CSV and Parquet in the run's folder.

>>> trials = table(run.records)
>>> write_tables("runs/digits", run)

docs/tables.md says what every column means, with its unit.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from results import pareto
from results.by_class import ClassChange, class_changes
from results.comparison import ArmRecord
from results.compression import CompressionBaseline
from results.contrasts import Contrast, contrasts
from results.data import RunData
from results.frames import columns, named, numbered, widths
from results.gains import Gain, gains
from results.metric import MetricInfo
from results.record import FinalRecord, TrialRecord
from results.sensitivity import SensitivityRecord
from results.store import RecordKind, kinds, plain_errors, write_bytes, write_text
from results.sweep import SweepPoint
from results.training import TrainingRecord
from results.trust import trust_table

TRIAL = (
    "number state origin criterion mode rung flops flops_fraction params val_accuracy seconds "
    "seed reason"
)
FINAL = (
    "name role budget number best criterion mode epochs layer_epochs layer_flops seed=seeds flops "
    "flops_fraction params val_accuracy test_accuracy"
)
ARM = (
    "budget structure kind best number flops flops_fraction params arm weights criterion lr epochs "
    "seed val_accuracy test_accuracy training_flops inherited_flops total_flops seconds reason "
    "distill temperature"
)
CONTRAST = (
    "budget family name left right difference low high kind confidence n deviation p_value "
    "p_adjusted=adjusted comparisons effect_size shown sentence"
)
GAIN = (
    "budget step name changed criterion surgery distill temperature flops flops_fraction epochs "
    "seeds=trainings test_accuracy=mean gain=difference low high confidence n deviation p_value "
    "p_adjusted=adjusted comparisons shown"
)
CLASS = (
    "budget name class=number class_name=label images seeds unpruned test_accuracy=accuracy change "
    "low high excess excess_low excess_high p_value p_adjusted=adjusted comparisons shown"
)
SENSITIVITY = "importance=sensitivity unit group channels width=widths damage=damages sensitivity"
"""Orders of columns, see `frames.columns`; fields that are new come after these."""

AGAIN = "make the report again"

MakeTable = Callable[[RunData], pd.DataFrame]


def table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row a trial: its fields, then ``proxy:<name>`` and ``width:<group>``, then what each rung
    brought: ``accuracy:<rung>``, ``epochs:<rung>``, ``seconds:<rung>``, ``explored:<rung>``.

    Accuracies are scores on the validation split, see `in_metric`; ``seconds`` wall time.
    """
    trained = range(1, 1 + max((r.rung for r in records), default=0))
    begun = range(max((len(r.rung_seconds) for r in records), default=0))
    free = range(max((1 + rung for r in records for rung in r.explored), default=0))
    explored = [[rung in r.explored for rung in free] for r in records]
    return pd.DataFrame(
        columns(TrialRecord, records, TRIAL)
        | named("proxy", "float64", [r.proxies for r in records])
        | widths(r.policy for r in records)
        | numbered("accuracy", "float64", [r.accuracy for r in records], trained)
        | numbered("epochs", "Int64", [r.epochs for r in records], trained)
        | numbered("seconds", "float64", [r.rung_seconds for r in records], begun)
        | numbered("regardless", "bool", explored, free)  # for one more version
        | numbered("explored", "bool", explored, free)
    )


def front_table(records: Sequence[TrialRecord], finals: Sequence[FinalRecord]) -> pd.DataFrame:
    """The rows of `table` on the front, with ``test_accuracy`` added: the mean over seeds."""
    on_front = pareto.trial_front(records)
    test = {f.candidate: f.test_accuracy for f in finals if f.candidate and f.test_accuracy}
    means = [statistics.fmean(test.get(r.candidate, (math.nan,))) for r in on_front]
    rows = table(records).set_index("number", drop=False)
    front = rows.loc[[r.number for r in on_front]].reset_index(drop=True)
    return front.assign(test_accuracy=pd.Series(means, dtype="float64"))


def plain_tables(run: type[RunData]) -> dict[str, MakeTable]:
    """The tables that kinds of record name themselves, with a column for each field."""
    return {kind.table: partial(_plain, kind) for kind in kinds(run).values() if kind.table}


def _plain(kind: RecordKind, run: RunData) -> pd.DataFrame:
    return pd.DataFrame(columns(kind.record, getattr(run, kind.field)))


def _sensitivity(run: RunData) -> pd.DataFrame:
    """The unit ``accuracy`` stands for the metric of the run."""
    frame = pd.DataFrame(columns(SensitivityRecord, run.measured, SENSITIVITY))
    return frame.assign(unit=frame["unit"].replace("accuracy", run.metric.name))


TABLES: dict[str, MakeTable] = plain_tables(RunData) | {
    "trials": lambda run: table(run.records),
    "pareto": lambda run: front_table(run.records, run.finals),
    "finals": lambda run: pd.DataFrame(
        columns(FinalRecord, run.finals, FINAL)
        | widths(final.policy for final in run.finals for _ in final.seeds)
    ),
    "trust": lambda run: trust_table(run.records, run.repeats, run.metric),
    "gains": lambda run: pd.DataFrame(
        columns(Gain, gains(run.gain_steps, run.metric), GAIN, rest=False)
    ),
    "classes": lambda run: pd.DataFrame(columns(ClassChange, class_changes(run), CLASS)),
    "beside": lambda run: pd.DataFrame(  # its older name, for one more version
        columns(CompressionBaseline, run.compressed)
    ),
    "comparison": lambda run: pd.DataFrame(
        columns(ArmRecord, run.compared.arms, ARM) | widths(r.policy for r in run.compared.arms)
    ),
    "contrasts": lambda run: pd.DataFrame(
        columns(Contrast, contrasts(run.compared, run.metric), CONTRAST, rest=False)
    ),
    "sweep": lambda run: pd.DataFrame(columns(SweepPoint, run.compared.sweep)),
    "sensitivity": lambda run: _sensitivity(run),
    "trainings": lambda run: pd.DataFrame(
        columns(TrainingRecord, run.training_records)
        | widths(r.candidate.policy for r in run.training_records)
    ),
}
"""The name of each file to what makes its table."""

_SCORE = re.compile(r"(val|test)_accuracy|accuracy:\d+")
"""Columns of scores."""

DIFFERENCES = {"gains": ("gain",), "contrasts": ("difference", "effect_size")}
"""By table, the columns of differences of scores."""

OF_IMAGES = ("classes",)
"""Tables of right answers, whatever the metric is."""

ALWAYS = ("trials", "pareto")
"""The tables that are written even without a row."""


def tables_of(run: RunData) -> dict[str, MakeTable]:
    """Every table of a run, also of a class of runs with kinds of record of its own; what is
    measured by the run's metric stands there as `in_metric` has it."""
    made = plain_tables(type(run)) | TABLES
    return {name: partial(_table, name, table_of) for name, table_of in made.items()}


def _table(name: str, table_of: MakeTable, run: RunData) -> pd.DataFrame:
    frame = table_of(run)
    return frame if name in OF_IMAGES else in_metric(frame, run.metric, DIFFERENCES.get(name, ()))


def in_metric(
    frame: pd.DataFrame, metric: MetricInfo, differences: Sequence[str] = ()
) -> pd.DataFrame:
    """A table of scores as one of the metric, in its own direction and under its own name.

    >>> list(in_metric(frame, MetricInfo("mean IoU", "%")))
    ['number', ..., 'val_mean_IoU', ..., 'mean_IoU:1']

    Args:
        differences: the columns of differences; where lower is better their signs change, and with
            them the ends of their interval.
    """
    scores = [name for name in frame if _SCORE.fullmatch(str(name))]
    ends = {"low": "high", "high": "low"} if differences and not metric.higher_is_better else {}
    turned = frame.rename(columns=ends)[list(frame)]
    for name in (*scores, *differences, *ends):
        turned[name] = metric.sign * turned[name] + 0.0  # no -0.0
    own = {name: str(name).replace("accuracy", metric.column()) for name in scores}
    return turned.rename(columns=own)


def write_tables(folder: str | Path, run: RunData) -> None:
    """Write every table into ``folder`` as CSV and as Parquet, each file in one step.

    ``trials`` and ``pareto`` are always there, of the others those that have a row.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    for name, table_of in tables_of(run).items():
        path, frame = Path(folder) / name, table_of(run)
        if len(frame) or name in ALWAYS:
            write_text(path.with_suffix(".csv"), frame.to_csv(index=False), AGAIN)
            write_bytes(path.with_suffix(".parquet"), frame.to_parquet(index=False), AGAIN)
        else:
            with plain_errors(str(path.parent), AGAIN):
                for suffix in (".csv", ".parquet"):
                    path.with_suffix(suffix).unlink(missing_ok=True)
