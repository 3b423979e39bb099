"""``scripts/fuzz``: any seed, any number; what failed is told with its seed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from fuzz.calling import CommandLines
from fuzz.check import Networks
from fuzz.running import Subject, tally


def main() -> int:
    """Exit code 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first; the others follow it")
    parser.add_argument("--networks", type=int, default=0, metavar="N", help="how many to draw")
    parser.add_argument("--commands", type=int, default=0, metavar="N", help="command lines")
    asked = parser.parse_args()
    if asked.networks + asked.commands < 1:
        parser.error("give --networks N or --commands N")
    with tempfile.TemporaryDirectory() as folder:
        subjects: list[tuple[Subject, int]] = []
        if asked.networks:
            subjects.append((Networks(), asked.networks))
        if asked.commands:
            subjects.append((CommandLines(Path(folder)), asked.commands))
        failed = 0
        for subject, number in subjects:
            found = tally(subject, range(asked.seed, asked.seed + number), _say)
            failed += len(found.failures)
            _say(f"{number} {subject.name}: {found.line}")
    return 1 if failed else 0


def _say(line: str) -> None:
    print(line.encode(errors="backslashreplace").decode(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
