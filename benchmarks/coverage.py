"""Of how many networks can how much be pruned? One discovery each, in a process of its own.

    PYTHONPATH=. python benchmarks/coverage.py [--only vit] [--limit-s 300]

Needs the ``dev`` extra, timm and transformers; nothing is downloaded. Networks that the table has
are not tried again; ``--again`` tries those anew that ``--only`` names. Written are
``coverage.csv``, one row a network, and ``README.md``, what they come to.

``never`` is the share of the FLOPs that no policy can change, ``floor`` what the least widths cost
of the whole. At the widths that keep half the FLOPs the network is cut and counted again: ``count``
says whether torch's counter, all of whose operations it knows, finds the same, and parameters are
as many as foretold.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import coverage_networks
import numpy as np
import pandas as pd
import torch
from torch import nn

import spaces
from spaces.cost import layer_flops
from spaces.counters import KNOWN_GAPS, MULTIPLIES, Count, opinions
from spaces.errors import brief

FOLDER = Path(__file__).parent / "results" / "coverage"
HALF, MUCH, LITTLE = 0.5, 0.3, 0.05


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one network came to; figures are empty where there is no space."""

    source: str
    name: str
    outcome: str
    groups: int = 0
    gflops: float | None = None
    never: float | None = None
    floor: float | None = None
    half: bool = False
    count: str = ""
    seconds: float | None = None
    reason: str = ""
    inside: str = ""


def main() -> None:
    """Try what the table does not have yet, and write it after each."""
    options = _arguments()
    for name in ("torchvision", "timm", "transformers"):
        import_module(name)  # once, and not in every process
    known = {} if not options.table.exists() else _read(options.table)
    every = list(coverage_networks.networks())
    chosen = [n for n in every if options.only.lower() in f"{n.source} {n.name}".lower()]
    for network in chosen:
        if (network.source, network.name) in known and not options.again:
            continue
        row = _apart(network, options.limit_s)
        known[row.source, row.name] = row
        told = f"{row.groups} groups, never {row.never or 0:.3f}" if row.groups else row.reason
        print(f"{row.source} {row.name}: {row.outcome}, {told[:120]} ({row.seconds} s)", flush=True)
        order = [known[n.source, n.name] for n in every if (n.source, n.name) in known]
        _write(order, options.table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="what source or name contain")
    parser.add_argument("--again", action="store_true", help="also what the table has")
    parser.add_argument("--limit-s", type=float, default=300.0, help="seconds for one network")
    parser.add_argument("--table", type=Path, default=FOLDER / "coverage.csv")
    return parser.parse_args()


def _apart(network: coverage_networks.Network, limit_s: float) -> Row:
    """The row of a network, made in a process that is ended when its time is up."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, network))
    process.start()
    sender.close()
    try:
        row = receiver.recv() if receiver.poll(limit_s) else _failed(network, "too slow", limit_s)
    except EOFError:
        row = _failed(network, "crash", 0.0, "the process was killed")
    process.kill()
    process.join()
    return row


def _send(sender: Connection, network: coverage_networks.Network) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    sender.send(measured(network))


def measured(network: coverage_networks.Network) -> Row:
    """Discover one network, and cut and count it at half its FLOPs."""
    torch.manual_seed(0)
    try:
        model, inputs = network.build()
    except Exception as error:
        return _failed(network, "not built", 0.0, brief(error))
    start = time.process_time()
    try:
        space = spaces.discover(model.eval(), inputs)
    except spaces.NothingToPruneError as error:
        return _failed(network, "nothing", time.process_time() - start, str(error))
    except spaces.UserError as error:
        return _failed(network, "refused", time.process_time() - start, str(error))
    except Exception as error:
        return _failed(network, "crash", time.process_time() - start, brief(error))
    seconds = time.process_time() - start
    floor = space.floor_flops / space.full_flops
    policy = space.uniform(max(HALF, floor))
    count, problem = _recounted(model, space, policy)
    return Row(
        source=network.source,
        name=network.name,
        outcome="crash" if problem else "space",
        groups=len(space.groups),
        gflops=round(space.full_flops / 1e9, 4),
        never=round(space.flops_of.constant / space.full_flops, 4),
        floor=round(floor, 4),
        half=floor <= HALF,
        count=count,
        seconds=round(seconds, 1),
        reason=problem or _most(space, model),
        inside=", ".join(space.inside),
    )


def _most(space: spaces.Space, model: nn.Module) -> str:
    """The module that has most of the FLOPs that no policy can change, and why."""
    cut = {member.parameter for group in space.groups for member in group.members}
    fixed = [c for c in space.costs if c.group is None and c.parameter not in cut]
    shares = layer_flops(fixed, model)
    if not any(shares.values()):
        return ""
    module = max(shares, key=shares.__getitem__)
    between = {cost.module for cost in fixed if cost.parameter is None}
    reasons = [f.reason for f in space.frozen if f.name == module]
    if not reasons:
        reasons = ["a product of activations" if module in between else "its sides are frozen"]
    return f"{shares[module] / space.full_flops:.0%} in {module}: {reasons[0]}"


def _recounted(model: nn.Module, space: spaces.Space, policy: spaces.Policy) -> tuple[str, str]:
    """What counting the cut network says, and what went wrong."""
    keep = {name: np.arange(width) for name, width in policy.items()}
    try:
        small = spaces.slice_model(model, space, keep).eval()
        counted = next(c for c in opinions(small, space.example) if c.counter == "torch")
    except Exception as error:
        return "", f"at half the FLOPs: {brief(error)}"
    if space.params(policy) != sum(p.numel() for p in small.parameters()):
        return "parameters differ", ""
    if counted.failure:
        return "not run", counted.failure
    if counted.within(space.inside).total == space.flops(policy):
        return "equal", ""
    left_out = _left_out(counted)
    return f"differs but for {left_out}" if left_out else "differs", ""


def _left_out(counted: Count) -> str:
    """Operations that multiply, and that the counter does not know."""
    seen = {op for ops in counted.skipped.values() for op in ops}
    return ", ".join(sorted(op for op in seen if op in MULTIPLIES | KNOWN_GAPS.keys()))


def _failed(
    network: coverage_networks.Network, outcome: str, seconds: float, reason: str = ""
) -> Row:
    return Row(
        source=network.source,
        name=network.name,
        outcome=outcome,
        seconds=round(seconds, 1),
        reason=reason,
    )


def _read(path: Path) -> dict[tuple[str, str], Row]:
    table = pd.read_csv(path).replace({np.nan: None})
    own = [field.name for field in fields(Row)]
    rows = [Row(**{name: row[name] for name in own}) for row in table.to_dict("records")]
    return {(row.source, row.name): row for row in rows}


def _write(rows: list[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([asdict(row) for row in rows]).to_csv(path, index=False)
    path.with_name("README.md").write_text(_told(rows))


def _told(rows: list[Row]) -> str:
    found = [row for row in rows if row.outcome == "space"]
    seconds = [row.seconds for row in found if row.seconds is not None]
    never = [row.never if row.never is not None else 1.0 for row in rows]
    checks = Counter(row.count.partition(" but")[0] for row in found)
    tells: list[tuple[str, Callable[[], Any]]] = [
        ("networks", lambda: len(rows)),
        ("with a space", lambda: len(found)),
        ("that reach half their FLOPs", lambda: sum(row.half for row in found)),
        ("with at most 5 % that can never go", lambda: sum(n <= LITTLE for n in never)),
        ("with more than 30 %, or no space", lambda: sum(n > MUCH for n in never)),
        *(
            (outcome, lambda outcome=outcome: sum(row.outcome == outcome for row in rows))
            for outcome in ("nothing", "refused", "too slow", "crash", "not built")
        ),
        ("counted alike by torch", lambda: checks["equal"]),
        ("seconds of CPU, median", lambda: round(float(np.median(seconds)), 1)),
        ("seconds of CPU, longest", lambda: max(seconds)),
    ]
    lines = [f"| {name} | {tell()} |" for name, tell in tells if found]
    device = f"{platform.processor() or platform.machine()}, one core, torch {torch.__version__}"
    head = "# Coverage\n\nWritten by `benchmarks/coverage.py`; "
    return f"{head}{device}.\n\n| | |\n|---|--:|\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
