"""The older name of `results.compression`."""  # until search follows

from results.compression import CompressionBaseline as BesideRecord
from results.compression import trainings

__all__ = ["BesideRecord", "trainings"]
