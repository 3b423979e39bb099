"""What came out: records, tables, front, trust and verdict of a finished or running search.

>>> run = results.load("runs/digits")
>>> run.trials, run.front, run.trust, run.comparison  # pandas; docs/tables.md has their columns
>>> run.report()                                       # the same as results.report(run)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
