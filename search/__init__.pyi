from .comparing import compare
from .config import SearchConfig
from .errors import SearchStopped
from .exporting.export import export
from .run import search
from .task.building import build_task
from .task.task import Task

__all__ = ["SearchConfig", "SearchStopped", "Task", "build_task", "compare", "export", "search"]
