from .comparing import compare
from .config import SearchConfig
from .errors import SearchStopped
from .exporting.export import export
from .loggers.logger import Logger
from .run import search
from .task.building import build_task
from .task.task import Task
from .training.objective import ACCURACY, Metric

__all__ = [
    "ACCURACY",
    "Logger",
    "Metric",
    "SearchConfig",
    "SearchStopped",
    "Task",
    "build_task",
    "compare",
    "export",
    "search",
]
