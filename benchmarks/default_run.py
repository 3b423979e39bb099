"""What does someone see who types the default? The verdict of one run for each of ten seeds.

    PYTHONPATH=. python benchmarks/default_run.py

Each is ``python search.py --budget 0.5 --seed K``, a process of its own. Nothing is left out or
repeated. Written are ``verdicts.csv`` and ``README.md``; a seed that is in the table is not run
again.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import torch

import results
from results.compare import verdicts
from search.versions import commit

BUDGET = "0.5"


def main() -> None:
    args = _arguments()
    path = Path(args.out) / "verdicts.csv"
    done = set(pd.read_csv(path).seed) if path.is_file() else set()
    for seed in sorted({*range(args.seeds)} - done):
        row = run(seed, Path(args.runs))
        _append(path, row)
        print(*row.values(), flush=True)
    text = _readme(pd.read_csv(path))
    (path.parent / "README.md").write_text(text)
    print(text)


def run(seed: int, folder: Path) -> dict[str, object]:
    """One row: the points by which the searched widths are above uniform ones, and the time."""
    name = f"default-{seed}"
    where = ["--runs-dir", str(folder), "--name", name]
    command = [sys.executable, "search.py", "--budget", BUDGET, "--seed", str(seed), *where]
    started = time.monotonic()
    subprocess.run([*command, "--quiet"], check=True)
    seconds = time.monotonic() - started
    finished = results.load(folder / name)
    (verdict,) = verdicts(finished.finals)
    assert verdict.comparison is not None, verdict.sentence
    points = [100 * value for value in (verdict.comparison.difference, verdict.comparison.low)]
    return {
        "seed": seed,
        "gain": round(points[0], 3),
        "low": round(points[1], 3),
        "verdict": verdict.comparison.outcome,
        "seconds": round(seconds, 1),
    }


def _append(path: Path, row: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    begins = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if begins:
            writer.writeheader()
        writer.writerow(row)


def _readme(rows: pd.DataFrame) -> str:
    better = (rows.verdict == "better").sum()
    lines = [
        "# The default run, seed by seed",
        "",
        f"`python search.py --budget {BUDGET} --seed K`; torch {torch.__version__}, "
        f"commit {commit()}. **{better} of {len(rows)} verdicts are above zero**; "
        f"the median run took {rows.seconds.median():.0f} s.",
        "",
        "| seed | searched above uniform, points | 95 % interval begins at | seconds |",
        "| ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.seed} | {row.gain:+.2f} | {row.low:+.2f} | {row.seconds:.0f} |".replace("-", "−")
        for row in rows.sort_values("seed").itertuples()
    ]
    return "\n".join([*lines, ""])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=str(__doc__).partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", default="benchmarks/results/default_run", help="for the tables")
    parser.add_argument("--runs", default="runs", help="where the runs are kept")
    parser.add_argument("--seeds", type=int, default=10, help="how many, from 0")
    return parser.parse_args()


if __name__ == "__main__":
    main()
