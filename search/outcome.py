"""Whether something came out of work that was done to its end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from results import Run
from results.decision import decisions
from results.text import plural
from results.training import FINALS
from search.errors import NothingCameOut
from search.evaluation.jobs import DIVERGED


def check_shipped(run: Run) -> None:
    """Check that at some budget there is a network to ship.

    Raises:
        NothingCameOut: no searched network could be trained to the end.
    """
    if not any(decisions(run)):
        finals = [r for r in run.training_records if r.purpose == FINALS]
        why = _why([record.reason for record in finals])
        raise NothingCameOut(
            f"nothing to ship: no searched network of {run.folder} was trained to the end{why}"
        )


def check_compared(run: Run) -> None:
    """Check that a comparison compared something.

    Raises:
        NothingCameOut: every training of it failed.
    """
    arms = run.compared.arms
    if arms and not any(math.isfinite(record.test_accuracy) for record in arms):
        why = _why([record.reason for record in arms])
        raise NothingCameOut(f"nothing was compared: {plural(len(arms), 'training')} failed{why}")


def _why(reasons: Sequence[str]) -> str:
    """The last failure, and what to do; empty where nothing failed."""
    failed = [reason for reason in reasons if reason]
    if not failed:
        return ""
    hint = "; begin another run with a lower --lr" if failed[-1].startswith(DIVERGED) else ""
    return f": {failed[-1]}{hint}"
