from .arms import ARMS, Arm
from .compare import Paired, Verdict, paired, verdicts
from .comparison import ArmRecord, Comparison, Kind
from .compression import CompressionBaseline
from .data import RunData
from .gains import Gain, GainStep
from .metric import MetricInfo
from .pareto import dominates, front, hypervolume, trial_front
from .provenance import Provenance
from .record import Candidate, FinalRecord, TrialRecord
from .reporting import report
from .reporting.several import report_several
from .reporting.terminal import (
    terminal_comparison,
    terminal_decision,
    terminal_solved,
    terminal_table,
)
from .run import Run, load
from .sensitivity import SensitivityRecord
from .solving import Solved, check_solvable, solve, solved_json
from .space import SpaceRecord
from .store import load_records, plain_errors, save_record
from .sweep import SweepPoint, chosen_rates
from .tables import TABLES, table, write_tables
from .training import TrainingRecord, TrainingSpec
from .trust import Correlation, Trust, noise_ceiling, proxy_trust

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
    "MetricInfo",
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
    "terminal_decision",
    "terminal_solved",
    "terminal_table",
    "trial_front",
    "verdicts",
    "write_tables",
]
