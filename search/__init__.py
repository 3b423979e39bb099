"""The search: from a model, data and a budget to the Pareto front of accuracy against FLOPs.

>>> run = search.search(budget=0.5, trials=48)
>>> run.trials, run.front, run.best, run.report("report.html")
"""

import os

import lazy_loader

# Threads that spin while they wait take the cores from the thread that all wait for, as soon as
# anything else runs: on two busy cores a step of ResNet-20 took 3.2 s with two spinning threads and
# 0.7 s with two sleeping ones. torch reads this when it starts its threads: it serves the
# command line, and scripts that import this package before torch; others set it themselves.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
