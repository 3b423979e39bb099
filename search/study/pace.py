"""How often processes that share a study look after each other, in seconds.

One number sets them all, so that tests can run at another pace: ``PRUNING_SEARCH_BEAT=0.5``.
"""

from __future__ import annotations

import os

BEAT = float(os.environ.get("PRUNING_SEARCH_BEAT", "15"))
"""A process says so often that it lives."""

GRACE = 6 * BEAT
"""After so long without a word it counts as dead."""

PATIENCE = 4 * BEAT
"""So long a database may be away before a process gives up; less than it takes to count as dead."""

PAUSE = BEAT / 15
"""Between two looks at what the others do."""
