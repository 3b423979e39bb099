"""The record of what forward passes take on one machine: tables of layers, and how well they hold.

>>> run.space.latency.sentence
'forward passes of 1 image on cpu, 2 threads: of 8 other networks the tables predict the time ...'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from results import text
from results.codec import Stored
from spaces.latency import TableSum
from spaces.widths import HasWidths

NOISY = 0.1
"""Where passes of one network spread by more, as a share of their median, times say little."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One count of channels along which a table has its entries.

    Attributes:
        offset: channels that always stay.
        groups: group name to how many more each of its channels brings.
        nodes: the counts that were measured, ascending.
    """

    offset: int = 0
    groups: dict[str, int] | None = None
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """The time of all parts of a pass that depend on the same two counts of channels.

    Attributes:
        layers: the modules that are among them, in order.
        reads, makes: the counts.
        times: ns, a row for each node of ``reads``, a column for each of ``makes``.
    """

    layers: tuple[str, ...]
    reads: Axis
    makes: Axis
    times: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRecord(Stored):
    """Tables of layers on one machine; empty where nothing limits the time.

    Attributes:
        batch: items of a pass.
        device, threads: what it was measured on.
        constant: ns of a pass that are in no table.
        tables: of the layers.
        networks: how many were measured for the tables.
        turns: how often each was.
        spread: the middle half of the whole passes of one network as a share of their median, the
            median over networks.
        checks: predicted and measured ns of other networks than these.
    """

    batch: int = 1
    device: str = ""
    threads: int = 0
    constant: int = 0
    tables: tuple[LayerTimes, ...] = ()
    networks: int = 0
    turns: int = 0
    spread: float = 0.0
    checks: tuple[tuple[int, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tables)

    @property
    def error(self) -> float:
        """How far the predicted time is from the measured one, as a share: the median."""
        return float(np.median([abs(mine / true - 1.0) for mine, true in self.checks]))

    @property
    def kendall(self) -> float:
        """Rank correlation of predicted and measured times."""
        return float(kendalltau(*zip(*self.checks, strict=True)).statistic)

    @property
    def too_noisy(self) -> bool:
        """Whether the machine was too busy to say what a pass takes."""
        return self.spread > NOISY

    @property
    def sentence(self) -> str:
        """How it was measured, how well it holds, and whether the machine was too noisy."""
        passes = f"forward passes of {text.plural(self.batch, 'item')} on {self.device}"
        where = f"{passes}, {text.plural(self.threads, 'thread')}"
        held = (
            f"of {len(self.checks)} other networks the tables predict the time within "
            f"{self.error:.1%} (median; Kendall {text.correlation(self.kendall)})"
        )
        if not self.too_noisy:
            return f"{where}: {held}"
        return (
            f"{where}: this machine is too noisy to say what they take, as those of one network "
            f"differ by {self.spread:.0%} (middle half; at most {NOISY:.0%} is good): {held}; stop "
            "what else runs and measure again under another --name"
        )

    def cost(self, groups: Sequence[HasWidths]) -> TableSum:
        """The tables as a cost of the widths of these groups."""
        names = [group.name for group in groups]
        axes = [(table.reads, table.makes) for table in self.tables]
        counts = [[[(a.groups or {}).get(n, 0) for n in names] for a in pair] for pair in axes]
        return TableSum(
            self.constant,
            np.array([[axis.offset for axis in pair] for pair in axes], dtype=float),
            np.array(counts, dtype=float),
            np.array([[axis.nodes for axis in pair] for pair in axes], dtype=float),
            np.array([table.times for table in self.tables], dtype=float),
        )


NO_TABLES = LatencyRecord()
"""Of a run whose time nothing limits."""
