"""How often processes that share a study check on each other, in seconds.

All follow from one number, which tests set lower: ``PRUNING_SEARCH_BEAT=0.5``.
"""

from __future__ import annotations

import os

HEARTBEAT_S = float(os.environ.get("PRUNING_SEARCH_BEAT", "15"))
"""Between two heartbeats of a process."""

DEAD_AFTER_S = 6 * HEARTBEAT_S
"""A process without a heartbeat for so long counts as dead."""

RECONNECT_S = 4 * HEARTBEAT_S
"""How long a process tries to reconnect to its database; below `DEAD_AFTER_S`."""

POLL_S = HEARTBEAT_S / 15
"""Between two looks at the progress of other processes."""
