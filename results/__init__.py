"""What came out: records, tables, front, trust and verdict of a finished or running search.

>>> run = results.load("runs/digits")
>>> run.trials, run.front, run.trust, run.comparison  # pandas; docs/tables.md has their columns
>>> run.report()                                       # the same as results.report(run)
"""

from results.arms import ARMS, Arm, ArmRecord, Comparison, Kind, SweepPoint
from results.beside import BesideRecord
from results.compare import Paired, Verdict, paired, verdicts
from results.pareto import dominates, front, hypervolume, trial_front
from results.record import FinalRecord, TrialRecord
from results.report import report
from results.report.several import report_several
from results.report.terminal import terminal_comparison, terminal_table
from results.run import Run, load
from results.sensitivity import SensitivityRecord
from results.store import (
    load_beside,
    load_comparison,
    load_finals,
    load_provenance,
    load_records,
    load_repeats,
    load_sensitivity,
    plain_errors,
    save_beside,
    save_comparison,
    save_finals,
    save_provenance,
    save_record,
    save_repeats,
    save_sensitivity,
)
from results.tables import table, write_tables
from results.trust import Correlation, Trust, noise_ceiling, proxy_trust

__all__ = [
    "ARMS",
    "Arm",
    "ArmRecord",
    "BesideRecord",
    "Comparison",
    "Correlation",
    "FinalRecord",
    "Kind",
    "Paired",
    "Run",
    "SensitivityRecord",
    "SweepPoint",
    "TrialRecord",
    "Trust",
    "Verdict",
    "dominates",
    "front",
    "hypervolume",
    "load",
    "load_beside",
    "load_comparison",
    "load_finals",
    "load_provenance",
    "load_records",
    "load_repeats",
    "load_sensitivity",
    "noise_ceiling",
    "paired",
    "plain_errors",
    "proxy_trust",
    "report",
    "report_several",
    "save_beside",
    "save_comparison",
    "save_finals",
    "save_provenance",
    "save_record",
    "save_repeats",
    "save_sensitivity",
    "table",
    "terminal_comparison",
    "terminal_table",
    "trial_front",
    "verdicts",
    "write_tables",
]
