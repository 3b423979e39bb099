"""What came out: records, tables, front, trust and verdict of a finished or running search.

>>> run = results.load("runs/digits")
>>> run.trials, run.front, run.trust, run.comparison  # pandas; docs/tables.md has their columns
>>> run.report()                                       # the same as results.report(run)
"""

from results.arms import ARMS, Arm
from results.compare import Paired, Verdict, paired, verdicts
from results.comparison import ArmRecord, Comparison, Kind
from results.compression import CompressionBaseline
from results.data import RunData
from results.gains import Gain, GainStep
from results.pareto import dominates, front, hypervolume, trial_front
from results.provenance import Provenance
from results.record import Candidate, FinalRecord, TrialRecord
from results.report import report
from results.report.several import report_several
from results.report.terminal import terminal_comparison, terminal_solved, terminal_table
from results.run import Run, load
from results.sensitivity import SensitivityRecord
from results.solving import Solved, check_solvable, solve, solved_json
from results.space import SpaceRecord
from results.store import load_records, plain_errors, save_record
from results.sweep import SweepPoint, chosen_rates
from results.tables import TABLES, table, write_tables
from results.training import TrainingRecord, TrainingSpec
from results.trust import Correlation, Trust, noise_ceiling, proxy_trust

__all__ = [
    "ARMS",
    "Arm",
    "ArmRecord",
    "Candidate",
    "Comparison",
    "CompressionBaseline",
    "Correlation",
    "FinalRecord",
    "Gain",
    "GainStep",
    "Kind",
    "Paired",
    "Provenance",
    "Run",
    "RunData",
    "SensitivityRecord",
    "Solved",
    "SpaceRecord",
    "SweepPoint",
    "TABLES",
    "TrainingRecord",
    "TrainingSpec",
    "TrialRecord",
    "Trust",
    "Verdict",
    "check_solvable",
    "chosen_rates",
    "dominates",
    "front",
    "hypervolume",
    "load",
    "load_records",
    "noise_ceiling",
    "paired",
    "plain_errors",
    "proxy_trust",
    "report",
    "report_several",
    "save_record",
    "solve",
    "solved_json",
    "table",
    "terminal_comparison",
    "terminal_solved",
    "terminal_table",
    "trial_front",
    "verdicts",
    "write_tables",
]
