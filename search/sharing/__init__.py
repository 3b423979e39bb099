"""One study, several processes: what a run with ``--storage`` needs beyond one without.

``storage`` opens the study. A process that has its study for itself imports nothing from here.
"""
