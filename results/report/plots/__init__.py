"""The report's pictures, one file a section. Each function gives one ``<svg>`` element."""

from results.report.plots.front import close_up, final_accuracy, front
from results.report.plots.search import history, volumes
from results.report.plots.sensitivity import damages
from results.report.plots.spending import spending
from results.report.plots.trust import against_proxies
from results.report.plots.widths import heat_map

__all__ = [
    "against_proxies",
    "close_up",
    "damages",
    "final_accuracy",
    "front",
    "heat_map",
    "history",
    "spending",
    "volumes",
]
