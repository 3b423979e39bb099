"""Tables of runs without what no two runs have in common."""

from __future__ import annotations

import pandas as pd


def untimed(trials: pd.DataFrame) -> pd.DataFrame:
    """The table of trials without its times."""
    return trials.drop(columns=[name for name in trials if str(name).startswith("seconds")])
