"""Which channels stay: the widths of the front, with the original and uniform ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from results import text
from results.data import RunData
from results.pareto import trial_front
from results.provenance import Frozen
from results.reporting.blocks import Block, Column, Figure, Table, head
from results.reporting.plots.widths import heat_map
from spaces import Policy

AT_ONCE = 40
"""Groups in one picture: as many as fit on a page in letters that can be read."""


def blocks(run: RunData) -> Iterator[Block]:
    """Nothing where the groups are not known, or no policy and nothing frozen is."""
    channels = run.provenance.channels
    policies = columns(run)
    if channels and policies:
        yield from _pictures(run, channels, policies)
    if run.provenance.frozen:
        yield _frozen(run.provenance.frozen)


def columns(run: RunData) -> dict[str, Policy]:
    """Uniform widths at every budget, then the front by rising flops; titles say which."""
    titled: dict[str, Policy] = {}
    for budget in tuple(run.budget_names) or (None,):
        if (uniform := run.uniform_at(budget)) and uniform.policy is not None:
            titled[f"uniform at {budget}" if budget else "uniform"] = uniform.policy
    best = {final.policy for final in map(run.best_final, run.budget_names) if final}
    for r in trial_front(run.records):
        if r.policy not in titled.values():
            star = "\N{BLACK STAR} " if r.policy in best else ""
            titled[f"{star}trial {r.number}, {text.number(r.flops_fraction, 1)} %"] = r.policy
    return titled


def _pictures(
    run: RunData, channels: Mapping[str, int], policies: Mapping[str, Policy]
) -> Iterator[Figure]:
    everything = {"original": Policy(channels), **policies}
    pages = text.pages(list(channels), AT_ONCE)
    for place, groups in enumerate(pages):
        yield Figure(
            f"widths-{place}",
            heat_map(groups, channels, everything, place),
            _caption(run, groups, place, len(pages)),
            _table(groups, everything),
        )


def _caption(run: RunData, names: Sequence[str], place: int, parts: int) -> str:
    part = f" Part {place + 1} of {parts}: {names[0]} to {names[-1]}." if parts > 1 else ""
    star = " A star marks the best at its budget." if run.finals else ""
    return (
        "How many channels each group keeps, in the order of the network: the darker, the larger "
        "the share. Original and uniform widths first, then the Pareto front by rising FLOPs "
        f"(their share in % stands beside the trial).{star}{part}"
    )


def _table(names: Sequence[str], policies: Mapping[str, Policy]) -> Table:
    rows = [
        [name, *(str(policy.get(name, text.NONE)) for policy in policies.values())]
        for name in names
    ]
    return Table(head("group", *policies), rows)


def _frozen(frozen: Sequence[Frozen]) -> Table:
    modules = text.plural(len(frozen), "module")
    return Table(
        [Column("module", label=True), Column("channels", numeric=True), Column("reason")],
        [[f.name, str(f.channels), f.reason] for f in frozen],
        folded=f"{modules} with channels that must stay, and why",
    )
