"""How often processes that share a study check on each other, in seconds.

One number sets them all, so that tests can be faster: ``PRUNING_SEARCH_BEAT=0.5``.
"""

from __future__ import annotations

import os

HEARTBEAT_S = float(os.environ.get("PRUNING_SEARCH_BEAT", "15"))
"""Between two heartbeats of a process."""

DEAD_AFTER_S = 6 * HEARTBEAT_S
"""A process without a heartbeat for so long counts as dead."""

RECONNECT_S = 4 * HEARTBEAT_S
"""How long to try to reconnect to a database; below `DEAD_AFTER_S`."""

POLL_S = HEARTBEAT_S / 15
"""Between two looks at what other processes do."""
